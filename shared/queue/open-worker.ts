import { DelayedError, type Job, type Processor, Worker } from 'bullmq';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { closeRedis, openRedis } from '../base/redis.ts';

/** A killed process's job runs again elsewhere after at most the sum of the two. */
const LOCK_DURATION = 8_000;
const STALLED_INTERVAL = 4_000;
/** Kills are no fault of the job's. */
const MOST_KILLS = 1_000;
/** How long jobs that were cut off may take to be handed over. */
const LAST_STEP = 5_000;

export type WorkerParts = { redisUrl: string; prefix: string; concurrency: number; log: Log };

export type QueueWorker<Data, Result> = {
  worker: Worker<Data, Result>;
  /**
   * Takes no more jobs, and ends once those under way have ended or were handed over.
   *
   * @param cutOff fires after `patience` milliseconds, to end jobs that take longer
   */
  close(cutOff: AbortController, patience: number): Promise<void>;
};

/** BullMQ's side of a queue: takes its jobs, and cancels those whose lock was lost, as somebody else has them by then. */
export function openWorker<Data, Result>(
  queue: string,
  process: Processor<Data, Result>,
  { redisUrl, prefix, concurrency, log }: WorkerParts,
): QueueWorker<Data, Result> {
  const redis = openRedis(redisUrl, 'patient', log.child({}, { level: 'silent' }));
  const worker = new Worker<Data, Result>(queue, process, {
    connection: redis,
    prefix,
    concurrency,
    lockDuration: LOCK_DURATION,
    stalledInterval: STALLED_INTERVAL,
    maxStalledCount: MOST_KILLS,
  });
  worker.on('error', error => log.debug({ reason: describeError(error) }, `${queue} worker`));
  worker.on('lockRenewalFailed', jobIds => {
    for (const jobId of jobIds) worker.cancelJob(jobId, 'the lock was lost');
  });

  return {
    worker,
    async close(cutOff, patience) {
      // Without Redis no job can be handed over, and BullMQ would wait for it without end: the jobs' locks run out.
      const handOver = redis.status === 'ready';
      const longest = handOver ? patience : 0;
      const closed = worker.close(!handOver);
      const timer = setTimeout(() => cutOff.abort(new Error('the process is stopping')), longest);
      await Promise.race([closed, new Promise(resolve => setTimeout(resolve, longest + LAST_STEP).unref())]);
      clearTimeout(timer);
      cutOff.abort(new Error('the process is stopping'));
      closeRedis(redis);
    },
  };
}

/**
 * Gives a job back, to be run again at `until`: milliseconds since the epoch by BullMQ's clock, which nobody turns.
 *
 * @param token of the job's lock
 */
export async function delayJob(job: Job, until: number, token: string): Promise<never> {
  await job.moveToDelayed(until, token);
  throw new DelayedError();
}
