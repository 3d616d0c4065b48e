import { randomUUID } from 'node:crypto';
import { DelayedError, type Job, Queue, UnrecoverableError, Worker } from 'bullmq';
import { bearsSeal, type Seals, withSeal } from '../admission/hmac.ts';
import { damagedValue, describeError, type Log, linkSignals } from '../base/basics.ts';
import { findFault, lookKey } from '../base/health.ts';
import { closeRedis, openRedis, type Store } from '../base/redis.ts';
import type { RedisAddress } from '../base/redis-address.ts';
import type { Consumer, FailedJob, HeldJob, Later } from './consumer.ts';

export type { FailedJob, HeldJob, JobLock, JobSignals, Later } from './consumer.ts';
/** Thrown by a job's run, it fails the job for good, however many attempts are left. */
export { UnrecoverableError };

/** The jobs of a killed process run again elsewhere after at most the sum of the two. */
const LOCK_DURATION = 8_000;
const STALLED_INTERVAL = 4_000;
/** A crashed worker must not fail the job. */
const MOST_KILLS = 1_000;
/** Seconds that a worker waits for a job in one command; a connection without an answer is dead (outages.ts). */
const LONGEST_BLOCK = 2;
/** How long jobs that were cut off may take to be given back. */
const LONGEST_HAND_OVER = 5_000;
const HAND_OVER_DELAY = 100;

const jobName = (queue: string, jobId: string) => `${queue} job ${jobId}`;

/** The data of a job with a seal for it. */
export const sealData = <Data extends object>(
  seals: Seals,
  queue: string,
  jobId: string,
  data: Data,
): Data & { seal: string } => withSeal(seals, jobName(queue, jobId), data);

/** Whether `sealData` made it for this job. */
export const isSealedData = (seals: Seals, queue: string, jobId: string, sealed: unknown): boolean =>
  bearsSeal(seals, jobName(queue, jobId), sealed);

const RANDOM_DIGITS = 16;

/**
 * An unguessable id for a job that does `what`: one half of it is random, the other says what the job does,
 * so that nobody can be led to a job that does something else.
 */
export function newJobId(seals: Seals, what: string): string {
  const [, , , ...random] = randomUUID().split('-');
  return toJobId(seals, random.join(''), what);
}

/** Whether `newJobId` made it for a job that does `what`. */
export const isJobIdOf = (seals: Seals, jobId: string, what: string): boolean =>
  toJobId(seals, jobId.replaceAll('-', '').slice(0, RANDOM_DIGITS), what) === jobId;

/** In the form of a UUID. */
function toJobId(seals: Seals, random: string, what: string): string {
  const digits = random + seals.sealOf(`id ${random}`, what);
  const parts = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20)];
  return `${parts.join('-')}-${digits.slice(20, 32)}`;
}

/**
 * The producing side of a queue. It asks Redis nothing when it is opened, so that it works as soon as Redis
 * can be reached; workers check the version of Redis.
 *
 * @param store its connection stays open when the queue is closed
 */
export function openQueue<Data, Result = unknown>(
  name: string,
  { store, log }: { store: Store; log: Log },
): Queue<Data, Result, string, Data, Result, string> {
  const queue = new Queue<Data, Result, string, Data, Result, string>(name, {
    connection: store.redis,
    prefix: store.prefix,
    skipWaitingForReady: true,
    skipVersionCheck: true,
    skipMetasUpdate: true,
  });
  queue.on('error', error => log.debug({ reason: describeError(error) }, `${name} queue`));
  return queue;
}

export type WorkerParts = { redisAddress: RedisAddress; prefix: string; log: Log; seals?: Seals };

/**
 * The consuming side of a queue: takes jobs until it is disposed of, which ends once those under way have
 * ended or were given back.
 */
export function openWorker<Data, Result>(
  queue: string,
  { concurrency, isData, patience, run, failed }: Consumer<Data, Result>,
  { redisAddress, prefix, log, seals }: WorkerParts,
): AsyncDisposable {
  const stopping = new AbortController();
  const cutOff = new AbortController();

  // BullMQ passes a signal only to functions that declare three parameters, none of them with a default.
  async function process(job: Job<Data>, token: string | undefined, cancelled: AbortSignal | undefined) {
    using abort = linkSignals(cutOff.signal);
    cancelled?.addEventListener('abort', () => abort.abort(new Error('the lock of the job was lost')));
    const signals = { stopping: stopping.signal, abort: abort.signal };
    const key = `${prefix}:${queue}:${job.id} data`;
    if (!isData(job.data)) throw new UnrecoverableError(damagedValue(key).message);
    const isSealed = !seals || isSealedData(seals, queue, job.id ?? '', job.data);
    const end = await run({ ...toHeldJob(job, token), isSealed }, signals).catch((error: unknown): Later => {
      const final = cancelled?.aborted || error instanceof UnrecoverableError;
      if (final || !stopping.signal.aborted) throw error;
      return { later: Date.now() + HAND_OVER_DELAY };
    });
    if (!isLater(end)) return end;
    await job.moveToDelayed(end.later, token);
    await end.after?.();
    throw new DelayedError();
  }

  const redis = openRedis(redisAddress, 'patient', log.child({}, { level: 'silent' }));
  const worker = new Worker<Data, Result>(queue, process, {
    connection: redis,
    prefix,
    concurrency,
    lockDuration: LOCK_DURATION,
    stalledInterval: STALLED_INTERVAL,
    maxStalledCount: MOST_KILLS,
    drainDelay: LONGEST_BLOCK,
  });
  Object.defineProperty(worker.getBackend(), 'maximumBlockTimeout', { value: LONGEST_BLOCK });
  worker.on('error', error => {
    // What JSON.parse says of a job's data quotes it.
    if (error instanceof SyntaxError)
      log.error(`the data of a job in ${prefix}:${queue} in Redis is damaged`);
    else log.debug({ reason: describeError(error) }, `${queue} worker`);
  });
  worker.on('lockRenewalFailed', jobIds => {
    for (const jobId of jobIds) worker.cancelJob(jobId);
  });
  worker.on('failed', (job, error) => {
    if (job) failed?.(error, toFailedJob(job, isData));
    else log.error({ reason: describeError(error) }, `a ${queue} job failed that Redis has lost`);
  });

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('the worker is stopping'));
      // While Redis is away or takes no writes, no job can be given back, and BullMQ would wait for ever: the
      // jobs' locks run out.
      const isWell = (await findFault(redis, lookKey(prefix))) === undefined;
      const longest = isWell ? patience : 0;
      const closed = worker.close(!isWell);
      const timer = setTimeout(() => cutOff.abort(stopping.signal.reason), longest);
      await Promise.race([
        closed,
        new Promise(resolve => setTimeout(resolve, longest + LONGEST_HAND_OVER).unref()),
      ]);
      clearTimeout(timer);
      cutOff.abort(stopping.signal.reason);
      closeRedis(redis);
    },
  };
}

const toHeldJob = <Data>(job: Job<Data>, token = ''): Omit<HeldJob<Data>, 'isSealed'> => ({
  name: job.name,
  data: job.data,
  lock: { jobId: job.id ?? '', token },
  createdAt: job.timestamp,
  isNew: job.attemptsStarted === 1,
  priority: Number(job.priority),
  lastAttempt: job.attemptsMade + 1 >= (job.opts.attempts ?? 1),
});

const toFailedJob = <Data>(job: Job<Data>, isData: (value: unknown) => value is Data): FailedJob<Data> => ({
  id: job.id ?? '',
  name: job.name,
  data: isData(job.data) ? job.data : undefined,
  attempts: job.attemptsMade,
  over: job.finishedOn !== undefined,
});

const isLater = (end: unknown): end is Later => typeof end === 'object' && end !== null && 'later' in end;
