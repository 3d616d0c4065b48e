import { type Clock, systemClock } from '../../shared/base/clock.ts';

/** The system's clock, but so many milliseconds ahead. */
export const shiftedClock = (ahead: number): Clock => ({
  ...systemClock,
  now: () => systemClock.now() + ahead,
});
