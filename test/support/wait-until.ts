import { setTimeout as delay } from 'node:timers/promises';

/** Each pause is a part of the time that was waited before: long waits leave the machine to others. */
const shortestPauseMs = 20;
const longestPauseMs = 100;
const partOfWait = 1 / 10;

const pauseAfter = (waitedMs: number) =>
  Math.min(Math.max(waitedMs * partOfWait, shortestPauseMs), longestPauseMs);

/** A last stop against hanging, in milliseconds: a busy machine may be slow, and no test asserts how slow. */
export const lastStopMs = 240_000;

/**
 * Polls until `check` answers true. A check that throws counts as "not yet"; what it threw last is the cause
 * of the error `timed out: <what>`.
 */
export async function waitUntil(
  what: string,
  check: () => Promise<boolean> | boolean,
  timeoutMs = lastStopMs,
): Promise<void> {
  const begin = performance.now();
  const waited = () => performance.now() - begin;
  let cause: unknown;
  do {
    try {
      if (await check()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await delay(pauseAfter(waited()));
  } while (waited() < timeoutMs);
  throw new Error(`timed out: ${what}`, { cause });
}
