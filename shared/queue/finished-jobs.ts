import { QueueEvents } from 'bullmq';
import type { Log } from '../base/log.ts';
import { closeRedis, openRedis, type Store } from '../base/redis.ts';
import { SIGN_QUEUE, type SignResult } from './sign-job-data.ts';
import type { SignRecords } from './sign-records.ts';

const RECHECK_INTERVAL = 3_000;

/** The waiting for results of sign jobs; one event stream wakes all waiting requests of a process. */
export type FinishedJobs = AsyncDisposable & {
  /** The job's result; `undefined` when the signal fires first, or when Redis has lost the job. */
  wait(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
};

type Waiter = (result: SignResult | undefined) => void;

/**
 * The stream is read from its last id on, as QueueEvents loses what happens before its first read; and every few seconds
 * all that is waited for is looked at again, as Redis may lose events over a restart.
 */
export function openFinishedJobs(
  parts: { store: Store; redisUrl: string; log: Log },
  records: SignRecords,
): FinishedJobs {
  const {
    store: { redis, prefix },
    log,
  } = parts;
  const waiters = new Map<string, Set<Waiter>>();

  function tell(jobId: string, result: SignResult | undefined) {
    for (const waiter of waiters.get(jobId) ?? []) waiter(result);
  }

  async function settle(jobId: string, ended?: 'completed' | 'failed') {
    const result = await records.readResult(jobId);
    if (result || ended === 'failed') tell(jobId, result); // BullMQ itself may fail a job, which then has no result
  }

  async function recheck() {
    const jobIds = [...waiters.keys()];
    if (jobIds.length === 0) return;
    // In this order: a job that ends in between has its result by the time the results are read.
    const exist = await Promise.all(jobIds.map(jobId => redis.exists(`${prefix}:${SIGN_QUEUE}:${jobId}`)));
    const results = await records.readResults(jobIds);
    jobIds.forEach((jobId, index) => {
      if (results[index] || !exist[index]) tell(jobId, results[index]);
    });
  }

  const recheckQuietly = () =>
    recheck().catch(error => log.debug({ reason: String(error) }, 'results cannot be read'));
  const events = listen({ ...parts, prefix }, (jobId, ended) => {
    if (waiters.has(jobId)) settle(jobId, ended).catch(recheckQuietly);
  });
  const timer = setInterval(recheckQuietly, RECHECK_INTERVAL);

  return {
    async wait(jobId, signal) {
      const waiting = Promise.withResolvers<SignResult | undefined>();
      const giveUp = () => waiting.resolve(undefined);
      const ofJob = waiters.get(jobId) ?? new Set();
      waiters.set(jobId, ofJob.add(waiting.resolve));
      try {
        await settle(jobId); // it may be finished already, which counts even for those who do not want to wait at all
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

/** Tells the ids of jobs that end, from whenever Redis can be reached. */
function listen(
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
      // Not waited for: while Redis is away it would not end. Nothing listens any more in either case.
      events?.close().catch(() => {});
    },
  };
}
