import type { Clock } from '../../shared/base/basics.ts';

/** A clock that stands still until it is turned. Who sleeps turns it himself and does not wait. */
export type TurnedClock = Clock & {
  /** Goes on by so many milliseconds. */
  turn(ms: number): void;
  /** How long each sleep was to be, in milliseconds. */
  readonly sleeps: number[];
};

/** @param start milliseconds since the epoch */
export function turnedClock(start: number): TurnedClock {
  let now = start;
  const sleeps: number[] = [];
  return {
    now: () => now,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      sleeps.push(ms);
      now += Math.max(ms, 0);
    },
    turn(ms) {
      now += ms;
    },
    sleeps,
  };
}
