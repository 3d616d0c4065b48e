import { setTimeout as delay } from 'node:timers/promises';

const pauseMs = 20;

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
  const end = performance.now() + timeoutMs;
  let cause: unknown;
  do {
    try {
      if (await check()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await delay(pauseMs);
  } while (performance.now() < end);
  throw new Error(`timed out: ${what}`, { cause });
}
