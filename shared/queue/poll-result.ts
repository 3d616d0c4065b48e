import type { Clock } from '../base/basics.ts';

/** Milliseconds between two looks, of which each is twice as long as the one before. */
const FIRST_LOOK = 50;
const LAST_LOOK = 1_000;

/**
 * Looks for a job's result again and again: for jobs that too few wait for to need a stream of events.
 *
 * @returns what was found; `undefined` when the signal fires first, after a last look
 * @throws whatever `look` throws
 */
export async function pollResult<Result>(
  look: () => Promise<Result | undefined>,
  clock: Pick<Clock, 'sleep'>,
  signal: AbortSignal,
): Promise<Result | undefined> {
  for (let pause = FIRST_LOOK; ; pause = Math.min(2 * pause, LAST_LOOK)) {
    const result = await look();
    if (result || signal.aborted) return result;
    await clock.sleep(pause, signal).catch(() => {}); // a last look follows
  }
}
