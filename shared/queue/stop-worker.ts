import type { Worker } from 'bullmq';
import { findFault, lookKey } from '../base/health.ts';
import type { Redis } from '../base/redis.ts';

/** How long jobs that were cut off may take to be given back. Milliseconds. */
const LONGEST_HAND_OVER = 5_000;

type Stop = {
  redis: Redis;
  prefix: string;
  /** For how many milliseconds the jobs under way may go on. */
  patience: number;
  /** Tells the jobs that the worker stops. */
  stopping: AbortController;
  /** Ends those that go on for longer. */
  cutOff: AbortController;
};

/**
 * Has a worker take no more jobs, and resolves once those under way have ended or were given back; or have
 * had the time to.
 */
export async function stopWorker(
  worker: Pick<Worker, 'close'>,
  { redis, prefix, patience, stopping, cutOff }: Stop,
): Promise<void> {
  // While Redis is away or takes no writes, no job can be given back, and BullMQ would wait for ever: the
  // jobs' locks run out.
  const isWell = (await findFault(redis, lookKey(prefix))) === undefined;
  stopping.abort(new Error('the worker is stopping'));
  const longest = isWell ? patience : 0;
  const closed = worker.close(!isWell);
  const timer = setTimeout(() => cutOff.abort(stopping.signal.reason), longest);
  await Promise.race([
    closed,
    new Promise(resolve => setTimeout(resolve, longest + LONGEST_HAND_OVER).unref()),
  ]);
  clearTimeout(timer);
  cutOff.abort(stopping.signal.reason);
}
