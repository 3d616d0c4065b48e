import { randomUUID } from 'node:crypto';
import type { Log } from '../base/log.ts';
import { needingRedis, type Store } from '../base/redis.ts';
import { openQueue } from './bullmq.ts';
import { openFinishedJobs } from './finished-jobs.ts';
import { deduplicationId, SIGN_QUEUE, type SignJobData, type SignResult } from './sign-job-data.ts';
import { openSignRecords } from './sign-records.ts';

const PROMISE_LIFE_SECONDS = 24 * 3_600;
/** A job's own failures are results; what makes BullMQ run it again is a Redis that failed in the middle. */
const UNTOLD_FAILURES = { attempts: 10, backoff: { type: 'fixed', delay: 1_000 } };
/** Jobs without a priority go first; renewals have time. */
const AFTER_POSTS = { priority: 1 };
const FAILED_JOBS_KEPT = { age: 7 * 24 * 3_600, count: 1_000 };

/** The intake's side of the `sign` queue. */
export type SignQueue = AsyncDisposable & {
  /**
   * Enqueues a job, or joins the one that an identical post made.
   *
   * @returns the job's unguessable id
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  enqueue(data: SignJobData): Promise<string>;
  /** The job's result; `undefined` when the signal fires first, or when Redis has lost the job. */
  result(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
  /** The auth block whose clients may fetch the result; `undefined` where no such job is known. */
  blockOf(jobId: string): Promise<string | undefined>;
  /** Remembers that a client was sent away with the job unfinished: its next identical post gets this job's result. */
  promise(jobId: string, data: SignJobData): Promise<void>;
};

/** @param redis an impatient connection, kept open by the caller */
export function openSignQueue(parts: { store: Store; redisUrl: string; log: Log }): SignQueue {
  const { store, log } = parts;
  const { redis, prefix } = store;
  const records = openSignRecords(store);
  const finished = openFinishedJobs(parts, records);
  const queue = openQueue<SignJobData>(SIGN_QUEUE, { store, log });
  const promiseKey = (data: SignJobData) => `${prefix}:promise:${deduplicationId(data)}`;

  return {
    enqueue: data =>
      needingRedis(async () => {
        const promised = await redis.getdel(promiseKey(data));
        if (promised && (await records.readResult(promised))?.outcome === 'issued') return promised;
        const job = await queue.add('sign', data, {
          jobId: randomUUID(),
          deduplication: { id: deduplicationId(data) },
          ...UNTOLD_FAILURES,
          ...(data.due !== undefined && AFTER_POSTS),
          removeOnComplete: true,
          removeOnFail: FAILED_JOBS_KEPT,
        });
        return job.id ?? '';
      }),
    result: (jobId, signal) => needingRedis(() => finished.wait(jobId, signal)),
    blockOf: jobId =>
      needingRedis(async () => {
        const result = await records.readResult(jobId);
        if (result) return result.block;
        const job = await queue.getJob(jobId);
        return job?.data.block;
      }),
    promise: async (jobId, data) => {
      await needingRedis(() => redis.set(promiseKey(data), jobId, 'EX', PROMISE_LIFE_SECONDS));
    },
    async [Symbol.asyncDispose]() {
      await finished[Symbol.asyncDispose]();
      await queue.close();
    },
  };
}
