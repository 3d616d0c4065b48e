import { hash } from 'node:crypto';
import type { Job } from 'bullmq';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock, Log } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import { needingRedis, parseValue, type Store } from '../base/redis.ts';
import { isJobIdOf, newJobId, openQueue, sealData } from './bullmq.ts';
import { openTellUnsealed } from './tell-unsealed.ts';

/** The intake's side of a queue whose jobs are rare: their results are asked for until they are there. */
export type AskedQueue<Data, Result> = AsyncDisposable & {
  /**
   * Enqueues a job, or joins the one that does the same.
   *
   * @param attempts how often a job is tried whose run throws, where it is not as often as others
   * @returns the job's id
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  enqueue(data: Data, attempts?: number): Promise<string>;
  /**
   * The job's result; `undefined` when the signal fires first.
   *
   * @throws IssuanceError `unavailable` when Redis cannot be reached or has lost the job, or none could do it
   */
  result(jobId: string, signal: AbortSignal): Promise<Result | undefined>;
};

/** What a queue's jobs are. */
type AskedJobs<Data, Result> = {
  queue: string;
  nameOf(data: Data): string;
  /** Equal for jobs that may be one. */
  whatOf(data: Data): string;
  /** A job whose run throws is tried so often, after 1, 2, 4, … seconds. */
  attempts: number;
  /** For how many seconds its result is kept. */
  resultKept: number;
  failedKept: { age: number; count: number };
  isResult(value: unknown): value is Result;
  /** What came of a job without a result, as BullMQ or a bug has failed it, or of one that Redis has lost. */
  withoutResult(isLost: boolean): Result;
  words: {
    /** What a job is, as in `the result of …`. */
    job: string;
    /** What a client is to do where its result cannot be believed. */
    again: string;
  };
};

export type AskedQueueParts = {
  /** An impatient connection, kept open by the caller. */
  store: Store;
  seals: Seals;
  clock: Clock;
  log: Log;
};

const BACKOFF = { type: 'exponential', delay: 1_000 };

export function openAskedQueue<Data extends object, Result>(
  jobs: AskedJobs<Data, Result>,
  parts: AskedQueueParts,
): AskedQueue<Data, Result> {
  const { store, seals, clock } = parts;
  const queue = openQueue<Data, string>(jobs.queue, parts);
  const tellUnsealed = openTellUnsealed(parts);

  async function add(
    data: Data,
    { what, attempts }: { what: string; attempts: number },
    deduplication?: { id: string },
  ): Promise<string> {
    const own = newJobId(seals, what);
    const job = await queue.add(jobs.nameOf(data), sealData(seals, jobs.queue, own, data), {
      jobId: own,
      ...(deduplication && { deduplication }),
      ...{ attempts, backoff: BACKOFF },
      removeOnComplete: { age: jobs.resultKept },
      removeOnFail: jobs.failedKept,
    });
    return job.id ?? '';
  }

  function readResult(job: Job<Data, string> | undefined): Result | undefined {
    if (!job) return jobs.withoutResult(true);
    const { id = '', finishedOn, returnvalue: sealed } = job;
    if (finishedOn === undefined) return undefined;
    if (!sealed) return jobs.withoutResult(false);
    const text = fromSealed(seals, resultOf(jobs.queue, id), `${sealed}`);
    const key = `${store.prefix}:${jobs.queue}:${id} returnvalue`;
    if (text !== undefined) return parseValue(key, text, jobs.isResult);
    const { job: what, again } = jobs.words;
    tellUnsealed(id, `what Redis gave as the result of ${what} bears no seal of this installation`);
    const detail = `the result in Redis bears no seal of this installation: ${again}`;
    throw new IssuanceError('unavailable', detail);
  }

  return {
    enqueue: (data, attempts = jobs.attempts) =>
      needingRedis(async () => {
        const what = hash('sha256', jobs.whatOf(data));
        const id = await add(data, { what, attempts }, { id: what });
        // What Redis has for the same may be another's job, which somebody has put there.
        return isJobIdOf(seals, id, what) ? id : add(data, { what, attempts });
      }),
    result(jobId, signal) {
      const look = async () => readResult(await needingRedis(() => queue.getJob(jobId)));
      return pollResult(look, clock, signal);
    },
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

/** Milliseconds between two looks, of which each is twice as long as the one before. */
const FIRST_LOOK = 50;
const LAST_LOOK = 1_000;

/** Looks once more when the signal fires. */
async function pollResult<Result>(
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

const resultOf = (queue: string, jobId: string) => `${queue} result ${jobId}`;

/** What a worker ends a job of such a queue with. */
export const sealResult = (seals: Seals, queue: string, jobId: string, result: object): string =>
  toSealed(seals, resultOf(queue, jobId), JSON.stringify(result));
