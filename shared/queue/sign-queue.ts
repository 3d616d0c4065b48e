import { randomUUID } from 'node:crypto';
import { QueueEvents } from 'bullmq';
import { type Log, needingRedis } from '../base/basics.ts';
import { closeRedis, openRedis, type Store } from '../base/redis.ts';
import { openQueue } from './bullmq.ts';
import {
  deduplicationId,
  openSignRecords,
  SIGN_QUEUE,
  type SignJobData,
  type SignRecords,
  type SignResult,
} from './sign-records.ts';

const PROMISE_LIFE_SECONDS = 24 * 3_600;
/** BullMQ's attempts cover failures of Redis only: what fails an order becomes the job's result. */
const ATTEMPTS = { attempts: 10, backoff: { type: 'fixed', delay: 1_000 } };
/** Jobs without a priority go first; renewals have time. */
const AFTER_POSTS = { priority: 1 };
const FAILED_JOBS_KEPT = { age: 7 * 24 * 3_600, count: 1_000 };
const RECHECK_INTERVAL = 3_000;

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
  /**
   * Remembers that a client was sent away with the job unfinished: its next identical post gets this job's
   * result.
   */
  promise(jobId: string, data: SignJobData): Promise<void>;
};

/** @param store an impatient connection, kept open by the caller */
export function openSignQueue(parts: { store: Store; redisUrl: string; log: Log }): SignQueue {
  const { store, log } = parts;
  const { redis, prefix } = store;
  const records = openSignRecords(store);
  const waiters = openWaiters(parts, records);
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
          ...ATTEMPTS,
          ...(data.due !== undefined && AFTER_POSTS),
          removeOnComplete: true,
          removeOnFail: FAILED_JOBS_KEPT,
        });
        return job.id ?? '';
      }),
    result: (jobId, signal) => needingRedis(() => waiters.wait(jobId, signal)),
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
      await waiters[Symbol.asyncDispose]();
      await queue.close();
    },
  };
}

type Waiters = AsyncDisposable & {
  wait(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
};

type Wake = (result: SignResult | undefined) => void;

/**
 * The requests of this process that wait for results. One stream of events wakes them all, and every few
 * seconds all that they wait for is looked at again, as Redis may lose events over a restart.
 */
function openWaiters(
  { store, redisUrl, log }: { store: Store; redisUrl: string; log: Log },
  records: SignRecords,
): Waiters {
  const { redis, prefix } = store;
  const waiters = new Map<string, Set<Wake>>();

  function wake(jobId: string, result: SignResult | undefined) {
    for (const waiter of waiters.get(jobId) ?? []) waiter(result);
  }

  async function look(jobId: string, ended?: 'completed' | 'failed') {
    const result = await records.readResult(jobId);
    // A job that BullMQ itself has failed has no result.
    if (result || ended === 'failed') wake(jobId, result);
  }

  async function lookAtAll() {
    const jobIds = [...waiters.keys()];
    if (jobIds.length === 0) return;
    // In this order: a job that ends in between has its result by the time the results are read.
    const exist = await Promise.all(jobIds.map(jobId => redis.exists(`${prefix}:${SIGN_QUEUE}:${jobId}`)));
    const results = await records.readResults(jobIds);
    jobIds.forEach((jobId, index) => {
      if (results[index] || !exist[index]) wake(jobId, results[index]);
    });
  }

  const recheck = () =>
    lookAtAll().catch(error => log.debug({ reason: String(error) }, 'results cannot be read'));
  const events = openEndEvents({ redisUrl, prefix, log }, (jobId, ended) => {
    if (waiters.has(jobId)) look(jobId, ended).catch(recheck);
  });
  const timer = setInterval(recheck, RECHECK_INTERVAL);

  return {
    async wait(jobId, signal) {
      const waiting = Promise.withResolvers<SignResult | undefined>();
      const giveUp = () => waiting.resolve(undefined);
      const ofJob = waiters.get(jobId) ?? new Set();
      waiters.set(jobId, ofJob.add(waiting.resolve));
      try {
        await look(jobId); // a result that is there already is given even to a client that does not wait
        if (signal.aborted) giveUp();
        signal.addEventListener('abort', giveUp, { once: true });
        return await waiting.promise;
      } finally {
        signal.removeEventListener('abort', giveUp);
        ofJob.delete(waiting.resolve);
        if (ofJob.size === 0 && waiters.get(jobId) === ofJob) waiters.delete(jobId);
      }
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await events[Symbol.asyncDispose]();
    },
  };
}

/**
 * Reports the jobs that end, as soon as Redis can be reached. The stream is read from its last id on, as
 * QueueEvents loses what happens before its first read.
 */
function openEndEvents(
  { redisUrl, prefix, log }: { redisUrl: string; prefix: string; log: Log },
  onEnd: (jobId: string, ended: 'completed' | 'failed') => void,
): AsyncDisposable {
  const connection = openRedis(redisUrl, 'patient', log.child({}, { level: 'silent' }));
  let events: QueueEvents | undefined;
  let closed = false;

  async function open() {
    const last = await connection.xrevrange(`${prefix}:${SIGN_QUEUE}:events`, '+', '-', 'COUNT', 1);
    if (closed) return;
    events = new QueueEvents(SIGN_QUEUE, { connection, prefix, lastEventId: last[0]?.[0] ?? '0-0' });
    events.on('error', error => log.debug({ reason: error.message }, 'sign queue events'));
    for (const ended of ['completed', 'failed'] as const) {
      events.on(ended, ({ jobId }: { jobId: string }) => onEnd(jobId, ended));
    }
  }

  const opening = open().catch(error => log.debug({ reason: String(error) }, 'sign queue events'));
  return {
    async [Symbol.asyncDispose]() {
      closed = true;
      closeRedis(connection);
      await opening;
      // Not awaited: it does not end while Redis is away, and nothing listens any more in either case.
      events?.close().catch(() => {});
    },
  };
}
