import type { TurnedClock } from './turned-clock.ts';

/** A turned clock that wakes who sleeps only when it is turned so far. */
export type HeldClock = TurnedClock & {
  /** How many sleep now. */
  sleeping(): number;
};

/** @param start milliseconds since the epoch */
export function heldClock(start: number): HeldClock {
  let now = start;
  const sleeps: number[] = [];
  const sleepers = new Set<{ until: number; wake(): void }>();
  return {
    now: () => now,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      if (ms <= 0) return;
      sleeps.push(ms);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const sleeper = { until: now + ms, wake: resolve };
      const end = () => reject(signal?.reason);
      sleepers.add(sleeper);
      signal?.addEventListener('abort', end, { once: true });
      await promise.finally(() => {
        sleepers.delete(sleeper);
        signal?.removeEventListener('abort', end);
      });
    },
    turn(ms) {
      now += ms;
      for (const sleeper of sleepers) {
        if (sleeper.until > now) continue;
        sleepers.delete(sleeper);
        sleeper.wake();
      }
    },
    sleeps,
    sleeping: () => sleepers.size,
  };
}
