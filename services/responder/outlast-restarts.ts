import type { Clock } from '../../shared/base/clock.ts';

/** Longer than a restart of Redis, and shorter than a CA waits for an answer. */
const LONGEST_OUTAGE = 6_000;
const ASK_AGAIN = 100;

/** Asks until Redis answers. */
export type OutlastRestarts = <T>(ask: () => Promise<T>) => Promise<T>;

/** A CA looks once: with an answer that Redis's restart costs, the order would fail and a failed validation be counted. */
export function outlastingRestarts(clock: Clock): OutlastRestarts {
  return async ask => {
    const deadline = clock.now() + LONGEST_OUTAGE;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (clock.now() >= deadline) throw error;
        await clock.sleep(ASK_AGAIN);
      }
    }
  };
}
