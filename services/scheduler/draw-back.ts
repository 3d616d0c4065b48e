import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Store } from '../../shared/base/redis.ts';
import { drawBackJobs, drawBackLives } from '../../shared/queue/draw-back.ts';
import type { Schedule } from '../../shared/queue/schedule.ts';
import { drawBackLooks } from '../../shared/renewal/draw-back.ts';
import type { RenewalIndex } from '../../shared/renewal/renewal-index.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

type Parts = {
  store: Store;
  schedule: Pick<Schedule, 'drawBack'>;
  index: Pick<RenewalIndex, 'read' | 'putOff'>;
  /** Of the limits of the moment, in milliseconds. */
  longestPeriod(): number;
  clock: Clock;
  log: Log;
};

/**
 * Draws back what was planned for later than the rules allow, as by a clock that was a year ahead: at the
 * start, each day, and when the clock goes back. Each scheduler does so by itself, as a task might wait
 * behind what is to be drawn back.
 *
 * @returns what is called every few seconds; it begins what there is to do, and never rejects
 */
export function openDrawBack(parts: Parts): (signal: AbortSignal) => void {
  const { clock, log } = parts;
  let next = Number.NEGATIVE_INFINITY;
  let last = clock.now();
  let isRunning = false;

  async function run(signal: AbortSignal): Promise<void> {
    isRunning = true;
    try {
      const drawn = await drawAllBack(parts, signal);
      if (Object.values(drawn).some(count => count > 0))
        log.warn(drawn, 'drawn back what was planned by a clock that was ahead');
    } catch (error) {
      signal.throwIfAborted();
      next = clock.now() + MINUTE;
      log.warn({ reason: describeError(error) }, 'what was planned cannot be looked through');
    } finally {
      isRunning = false;
    }
  }

  return signal => {
    const now = clock.now();
    if (now < last - MINUTE) next = now;
    last = now;
    if (isRunning || now < next) return;
    next = now + DAY;
    run(signal).catch(() => {}); // the scheduler is stopping
  };
}

/** Locks go first: they keep jobs, and the tasks behind these, from being done. */
async function drawAllBack({ store, schedule, index, longestPeriod, clock }: Parts, signal: AbortSignal) {
  const keys = await drawBackLives(store, longestPeriod(), signal);
  const tasks = await schedule.drawBack(clock.now());
  const jobs = await drawBackJobs(store, clock.now());
  return { keys, tasks, jobs, renewals: await drawBackLooks(store, index, clock.now()) };
}
