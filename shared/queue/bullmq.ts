import { randomUUID } from 'node:crypto';
import { createRedisBackend, DelayedError, type Job, Queue, UnrecoverableError, Worker } from 'bullmq';
import { bearsSeal, type Seals, withSeal } from '../admission/hmac.ts';
import { type Clock, type Log, linkSignals } from '../base/basics.ts';
import { damagedValue, describeError } from '../base/errors.ts';
import { closeRedis, openRedis } from '../base/open-redis.ts';
import type { Store } from '../base/redis.ts';
import type { RedisAddress } from '../base/redis-address.ts';
import { type Consumer, type HeldJob, type JobLock, type Later, toFailedJob } from './consumer.ts';
import { LOCK_DURATION, openRenewLocks, type RenewLocks } from './job-locks.ts';
import { stopWorker } from './stop-worker.ts';

export type { FailedJob, HeldJob, JobLock, JobSignals, Later } from './consumer.ts';
/** Thrown by a job's run, it fails the job for good, however many attempts are left. */
export { UnrecoverableError };

/** The jobs of a killed process run again elsewhere after at most this and the life of a lock. */
const STALLED_INTERVAL = 4_000;
const LOCK_RENEWAL = 3_000;
/** A crashed worker must not fail the job. */
const MOST_KILLS = 1_000;
/** Seconds that a worker waits in one command: one without an answer ends the connection (outages.ts). */
const LONGEST_BLOCK = 2;
/** Milliseconds until a job is due again that a stopping worker gives back. */
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

/** `clock` is Redis's: all that add jobs or take them go by it. */
type Parts = { clock: Clock; log: Log };

/**
 * The producing side of a queue. It asks Redis nothing when it is opened, so that it works as soon as Redis
 * can be reached; workers check the version of Redis.
 *
 * @param store its connection stays open when the queue is closed
 */
export function openQueue<Data, Result = unknown>(
  name: string,
  { store, clock, log }: Parts & { store: Store },
): Queue<Data, Result, string, Data, Result, string> {
  const options = {
    connection: store.redis,
    prefix: store.prefix,
    skipWaitingForReady: true,
    skipVersionCheck: true,
    skipMetasUpdate: true,
  };
  const backend = backendBy(clock);
  const queue = new Queue<Data, Result, string, Data, Result, string>(name, options, backend);
  queue.on('error', error => log.debug({ reason: describeError(error) }, `${name} queue`));
  return queue;
}

/** Where BullMQ's scripts get the time, among their keys and arguments. */
const timePlaces: Record<string, number> = {
  ...{ moveToActive: 12, moveToDelayed: 12, retryJob: 12 },
  ...{ moveToFinished: 15, moveStalledJobsToWait: 11 },
};
/** Where they answer when the next delayed job is due. */
const NEXT_DUE = 3;

/**
 * BullMQ goes by the clock of this machine, and Redis gives the times that it has told to workers on others.
 * So what is told is turned into a time of `clock`, and what Redis gives into one of this machine.
 */
function backendBy(clock: Clock): typeof createRedisBackend {
  const ahead = () => Date.now() - clock.now();
  const timed = <Job extends object>(job: Job) => ({ ...job, timestamp: clock.now() });
  return (name, options, how) => {
    const backend = createRedisBackend(name, options, how);
    const { execCommand, waitForJob, addJob, addJobs } = backend;
    return Object.assign(backend, {
      async execCommand(...[client, script, args]: Parameters<typeof execCommand>) {
        const place = timePlaces[script];
        if (place === undefined) return execCommand.call(backend, client, script, args);
        const told = args.with(place, args[place] - ahead());
        const answer = await execCommand.call(backend, client, script, told);
        const next = Array.isArray(answer) ? Number(answer[NEXT_DUE]) : 0;
        return next > 0 ? answer.with(NEXT_DUE, next + ahead()) : answer;
      },
      async waitForJob(seconds: number) {
        const marker = await waitForJob.call(backend, Math.min(seconds, LONGEST_BLOCK));
        return marker && marker.score > 0 ? { ...marker, score: marker.score + ahead() } : marker;
      },
      addJob: (...[job, ...more]: Parameters<typeof addJob>) => addJob.call(backend, timed(job), ...more),
      addJobs(entries: Parameters<typeof addJobs>[0]) {
        const all = entries.map(one => ({ ...one, job: timed(one.job) }));
        return addJobs.call(backend, all);
      },
    });
  };
}

export type WorkerParts = Parts & { redisAddress: RedisAddress; prefix: string; seals?: Seals };

/**
 * The consuming side of a queue: takes jobs until it is disposed of, which ends once those under way have
 * ended or were given back.
 */
export function openWorker<Data, Result>(
  queue: string,
  { concurrency, isData, patience, run, failed }: Consumer<Data, Result>,
  { redisAddress, prefix, clock, log, seals }: WorkerParts,
): AsyncDisposable {
  const stopping = new AbortController();
  const cutOff = new AbortController();

  async function process(job: Job<Data>, token: string | undefined) {
    using held = locks.hold(lockOf(job, token));
    using abort = linkSignals(cutOff.signal, held.lost);
    const signals = { stopping: stopping.signal, abort: abort.signal };
    const key = `${prefix}:${queue}:${job.id} data`;
    if (!isData(job.data)) throw new UnrecoverableError(damagedValue(key).message);
    const isSealed = !seals || isSealedData(seals, queue, job.id ?? '', job.data);
    const end = await run({ ...toHeldJob(job, token), isSealed }, signals).catch((error: unknown): Later => {
      const final = held.lost.aborted || error instanceof UnrecoverableError;
      if (final || !stopping.signal.aborted) throw error;
      return { later: clock.now() + HAND_OVER_DELAY };
    });
    if (!isLater(end)) return end;
    await job.moveToDelayed(end.later + Date.now() - clock.now(), token);
    await end.after?.();
    throw new DelayedError();
  }

  const redis = openRedis(redisAddress, 'patient', log.child({}, { level: 'silent' }));
  const options = {
    connection: redis,
    prefix,
    concurrency,
    lockDuration: LOCK_DURATION,
    skipLockRenewal: true,
    stalledInterval: STALLED_INTERVAL,
    maxStalledCount: MOST_KILLS,
  };
  const worker = new Worker<Data, Result>(queue, process, options, backendBy(clock));
  const locks = keepLocks(openRenewLocks({ redis, prefix }, queue));
  worker.on('error', error => {
    // What JSON.parse says of a job's data quotes it.
    if (error instanceof SyntaxError)
      log.error(`the data of a job in ${prefix}:${queue} in Redis is damaged`);
    else log.debug({ reason: describeError(error) }, `${queue} worker`);
  });
  worker.on('failed', (job, error) => {
    if (job) failed?.(error, toFailedJob(job, lockOf(job), isData));
    else log.error({ reason: describeError(error) }, `a ${queue} job failed that Redis has lost`);
  });

  return {
    async [Symbol.asyncDispose]() {
      await stopWorker(worker, { redis, prefix, patience, stopping, cutOff });
      locks[Symbol.dispose]();
      closeRedis(redis);
    },
  };
}

type Locks = Disposable & {
  /** Keeps the lock of a job until this is disposed of; `lost` fires when another worker has it. */
  hold(lock: JobLock): Disposable & { lost: AbortSignal };
};

/** Renews the locks of the jobs in hand. BullMQ would do so by the clock, and stop while that is set back. */
function keepLocks(renewLocks: RenewLocks): Locks {
  const held = new Map<string, { lock: JobLock; lost: AbortController }>();
  let isExtending = false;

  async function renew(): Promise<void> {
    if (isExtending || held.size === 0) return;
    isExtending = true;
    const jobs = [...held.values()];
    const lost = await renewLocks(jobs.map(({ lock }) => lock)).catch((): string[] => []); // Redis is away
    isExtending = false;
    for (const job of jobs.filter(({ lock }) => lost.includes(lock.jobId)))
      job.lost.abort(new Error('the lock of the job was lost'));
  }

  const timer = setInterval(renew, LOCK_RENEWAL);
  return {
    hold(lock) {
      const lost = new AbortController();
      held.set(lock.token, { lock, lost });
      return { lost: lost.signal, [Symbol.dispose]: () => void held.delete(lock.token) };
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** @param token absent of a job that is held no more */
const lockOf = ({ id = '', attemptsStarted: takes }: Job, token = '') => ({ jobId: id, token, takes });

const toHeldJob = <Data>(job: Job<Data>, token = ''): Omit<HeldJob<Data>, 'isSealed'> => ({
  name: job.name,
  data: job.data,
  lock: lockOf(job, token),
  createdAt: job.timestamp,
  isNew: job.attemptsStarted === 1,
  priority: Number(job.priority),
  lastAttempt: job.attemptsMade + 1 >= (job.opts.attempts ?? 1),
});

const isLater = (end: unknown): end is Later => typeof end === 'object' && end !== null && 'later' in end;
