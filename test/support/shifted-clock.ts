import { type Clock, systemClock } from '../../shared/base/basics.ts';

/** The system's clock, but so many milliseconds ahead. */
export const shiftedClock = (ahead: number): Clock => ({
  ...systemClock,
  now: () => systemClock.now() + ahead,
});
