import type { Store } from '../base/redis.ts';
import type { Results } from './read-results.ts';
import { SIGN_QUEUE, type SignResult } from './sign-job.ts';

/** Jobs are lost so rarely that only every so many looks are for that, too. */
const LOOKS_PER_LOOK_FOR_LOST = 5;

/**
 * Looks for the ends of jobs that were not heard of, as what is published while Redis is away is lost.
 *
 * @param forLost whether to look, too, for jobs that never get a result; by default at times
 * @returns those that have ended, with their results: BullMQ has failed those that have none, or Redis has
 *   lost them
 */
type FindMissed = (jobIds: string[], forLost?: boolean) => Promise<Missed[]>;

/** `isOver`: whether no other result will come. */
type Missed = { jobId: string; result: SignResult | undefined; isOver: boolean };

export function openFindMissed({ redis, prefix }: Store, results: Pick<Results, 'readResults'>): FindMissed {
  let looks = 0;

  /** Those that are to have a result, or never get one. */
  async function findEnded(jobIds: string[]): Promise<Set<string>> {
    const read = (jobId: string) =>
      redis.hmget(`${prefix}:${SIGN_QUEUE}:${jobId}`, 'timestamp', 'finishedOn');
    const found = await Promise.all(jobIds.map(read));
    return new Set(jobIds.filter((_, index) => !found[index]?.[0] || found[index]?.[1]));
  }

  return async (jobIds, forLost = looks++ % LOOKS_PER_LOOK_FOR_LOST === 0) => {
    if (jobIds.length === 0) return [];
    // In this order: a job that ends in between has its result by the time the results are read.
    const ended = forLost ? await findEnded(jobIds) : new Set();
    const read = await results.readResults(jobIds);
    const all = jobIds.map((jobId, index) => ({ jobId, result: read[index], isOver: ended.has(jobId) }));
    return all.filter(({ result, isOver }) => result || isOver);
  };
}
