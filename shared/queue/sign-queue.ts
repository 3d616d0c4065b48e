import { randomUUID } from 'node:crypto';
import { Queue, QueueEvents } from 'bullmq';
import type { Log } from '../base/log.ts';
import { closeRedis, needingRedis, openRedis, type Redis } from '../base/redis.ts';
import { deduplicationId, SIGN_QUEUE, type SignJobData, type SignResult } from './sign-job-data.ts';
import { openSignRecords } from './sign-records.ts';

const RECHECK_INTERVAL = 3_000;
const PROMISE_LIFE_SECONDS = 24 * 3_600;
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
  /** The job's result, waited for until the signal fires; `undefined` then. */
  result(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
  /** The auth block whose clients may fetch the result; `undefined` where no such job is known. */
  blockOf(jobId: string): Promise<string | undefined>;
  /** Remembers that a client was sent away with the job unfinished: its next identical post gets this job's result. */
  promise(jobId: string, data: SignJobData): Promise<void>;
};

/** @param redis an impatient connection, kept open by the caller */
export function openSignQueue(parts: { redis: Redis; redisUrl: string; prefix: string; log: Log }): SignQueue {
  const { redis, prefix, log } = parts;
  const records = openSignRecords(redis, prefix);
  const finished = openFinishedEvents(parts, jobIds => records.readResults(jobIds));
  // The queue asks Redis nothing when it is made, and so works whenever Redis comes; a worker checks Redis's version.
  const whenever = { skipWaitingForReady: true, skipVersionCheck: true, skipMetasUpdate: true };
  const queue = new Queue<SignJobData>(SIGN_QUEUE, { connection: redis, prefix, ...whenever });
  queue.on('error', error => log.debug({ reason: error.message }, 'sign queue'));
  const promiseKey = (data: SignJobData) => `${prefix}:promise:${deduplicationId(data)}`;

  return {
    enqueue: data =>
      needingRedis(async () => {
        const promised = await redis.getdel(promiseKey(data));
        if (promised && (await records.readResult(promised))?.outcome === 'issued') return promised;
        const job = await queue.add('sign', data, {
          jobId: randomUUID(),
          deduplication: { id: deduplicationId(data) },
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

type Waiter = { done(result: SignResult | undefined): void };

/**
 * One event stream for all waiting requests of this process. It is seeded with the stream's last id, as QueueEvents
 * loses what happens before its first read; and every few seconds the results of all that is waited for are read
 * again, as Redis may lose events over a restart.
 */
function openFinishedEvents(
  { redisUrl, prefix, log }: { redisUrl: string; prefix: string; log: Log },
  readResults: (jobIds: string[]) => Promise<(SignResult | undefined)[]>,
) {
  const waiters = new Map<string, Set<Waiter>>();
  const connection = openRedis(redisUrl, 'patient', log.child({}, { level: 'silent' }));
  let events: QueueEvents | undefined;
  let closed = false;

  async function settle(jobIds: string[]) {
    const results = await readResults(jobIds);
    jobIds.forEach((jobId, index) => {
      const result = results[index];
      if (result) for (const waiter of waiters.get(jobId) ?? []) waiter.done(result);
    });
  }

  const recheck = () =>
    settle([...waiters.keys()]).catch(error => log.debug({ reason: String(error) }, 'results cannot be read'));

  async function listen() {
    const last = await connection.xrevrange(`${prefix}:${SIGN_QUEUE}:events`, '+', '-', 'COUNT', 1);
    if (closed) return;
    events = new QueueEvents(SIGN_QUEUE, { connection, prefix, lastEventId: last[0]?.[0] ?? '0-0' });
    events.on('error', error => log.debug({ reason: error.message }, 'sign queue events'));
    for (const ended of ['completed', 'failed'] as const) {
      events.on(ended, ({ jobId }: { jobId: string }) => {
        if (waiters.has(jobId)) void settle([jobId]).catch(() => recheck());
      });
    }
  }

  const listening = listen().catch(error => log.debug({ reason: String(error) }, 'sign queue events'));
  const timer = setInterval(recheck, RECHECK_INTERVAL);

  return {
    async wait(jobId: string, signal: AbortSignal): Promise<SignResult | undefined> {
      const waiting = Promise.withResolvers<SignResult | undefined>();
      const waiter: Waiter = { done: waiting.resolve };
      const giveUp = () => waiting.resolve(undefined);
      const ofJob = waiters.get(jobId) ?? new Set();
      waiters.set(jobId, ofJob.add(waiter));
      signal.addEventListener('abort', giveUp, { once: true });
      try {
        await settle([jobId]); // it may be finished already, before anybody listened
        if (signal.aborted) giveUp();
        return await waiting.promise;
      } finally {
        signal.removeEventListener('abort', giveUp);
        ofJob.delete(waiter);
        if (ofJob.size === 0 && waiters.get(jobId) === ofJob) waiters.delete(jobId);
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearInterval(timer);
      closeRedis(connection);
      await listening;
      await events?.close().catch(() => {});
    },
  };
}
