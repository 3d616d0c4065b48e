import { setTimeout as delay } from 'node:timers/promises';

const pauseMs = 20;

/**
 * Polls until `check` answers true. A check that throws counts as "not yet"; what it threw last is the cause of the
 * error `timed out: <what>`.
 */
export async function waitUntil(
  what: string,
  check: () => Promise<boolean> | boolean,
  timeoutMs = 10_000,
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
