import { randomUUID } from 'node:crypto';
import { type Log, needingRedis } from '../base/basics.ts';
import { parseValue, runScript, type Store } from '../base/redis.ts';
import { openQueue } from './bullmq.ts';
import { hearEnds } from './hear-ends.ts';
import { openFindMissed } from './missed-ends.ts';
import { isSignResult } from './sign-job.ts';
import {
  deduplicationId,
  openSignRecords,
  SIGN_QUEUE,
  type SignJobData,
  type SignRecords,
  type SignResult,
} from './sign-records.ts';
import { ASK_TURN, POSTS, RENEWALS } from './turns.ts';

const PROMISE_LIFE_SECONDS = 24 * 3_600;
/** BullMQ's attempts cover failures of Redis only: what fails an order becomes the job's result. */
const ATTEMPTS = { attempts: 10, backoff: { type: 'fixed', delay: 1_000 } };
const FAILED_JOBS_KEPT = { age: 7 * 24 * 3_600, count: 1_000 };
const RECHECK_INTERVAL = 3_000;

/** The intake's side of the `sign` queue. */
export type SignQueue = AsyncDisposable & {
  /**
   * Enqueues a job, or joins the one that an identical post made.
   *
   * @param reserve is given a new id before the job is made, and gives the one that it is to have
   * @returns the job's unguessable id
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  enqueue(data: SignJobData, reserve?: (id: string) => Promise<string>): Promise<string>;
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
  const jobs = `${prefix}:${SIGN_QUEUE}:`;
  const promiseKey = (same: string) => `${prefix}:promise:${same}`;

  /** @returns the job that was promised to whoever asks for the same, or ''; and the priority of a new one */
  async function askTurn(
    { due, block }: SignJobData,
    same: string,
  ): Promise<[promised: string, priority: number]> {
    const { turns, first, last } = due === undefined ? POSTS : RENEWALS;
    const keys = [`${jobs}prioritized`, `${prefix}:turns:${turns}`, promiseKey(same), `${jobs}de:${same}`];
    return (await runScript(redis, ASK_TURN, keys, [jobs, block, first, last])) as [string, number];
  }

  return {
    enqueue: (data, reserve) =>
      needingRedis(async () => {
        const same = deduplicationId(data);
        const [promised, priority] = await askTurn(data, same);
        if (promised && (await records.readResult(promised))?.outcome === 'issued') return promised;
        const own = reserve ? await reserve(randomUUID()) : randomUUID();
        let id = '';
        waiters.expect(own);
        try {
          const job = await queue.add('sign', data, {
            jobId: own,
            deduplication: { id: same },
            priority,
            ...ATTEMPTS,
            removeOnComplete: true,
            removeOnFail: FAILED_JOBS_KEPT,
          });
          id = job.id ?? '';
        } finally {
          if (id !== own) waiters.forget(own);
        }
        return id;
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
      await needingRedis(() =>
        redis.set(promiseKey(deduplicationId(data)), jobId, 'EX', PROMISE_LIFE_SECONDS),
      );
    },
    async [Symbol.asyncDispose]() {
      await waiters[Symbol.asyncDispose]();
      await queue.close();
    },
  };
}

type Waiters = AsyncDisposable & {
  wait(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
  /** Says that a job is about to be made, so that `wait` need not ask whether it has ended already. */
  expect(jobId: string): void;
  forget(jobId: string): void;
};

type Wake = (result: SignResult | undefined) => void;

/**
 * The requests of this process that wait for results. One channel wakes them all, and every few seconds all
 * that they wait for is looked at again, as what is published while Redis is away is lost.
 */
function openWaiters(
  { store, redisUrl, log }: { store: Store; redisUrl: string; log: Log },
  records: SignRecords,
): Waiters {
  const findMissed = openFindMissed(store, records);
  const waiters = new Map<string, Set<Wake>>();
  /** Jobs made by this process whose end was not published yet, as long as nothing was missed. */
  const expected = new Set<string>();
  /** Whether every end from now on will be heard of. */
  let listening = false;

  function wake(jobId: string, result: SignResult | undefined) {
    for (const waiter of waiters.get(jobId) ?? []) waiter(result);
  }

  async function look(jobId: string, failed = false) {
    const [result] = await records.readResults([jobId]);
    if (result || failed) wake(jobId, result);
  }

  async function lookAtAll(forLost?: boolean) {
    for (const [jobId, result] of await findMissed([...waiters.keys()], forLost)) wake(jobId, result);
  }

  function recheck(forLost?: boolean) {
    lookAtAll(forLost).catch(error => log.debug({ reason: String(error) }, 'results cannot be read'));
  }

  /** @param result `undefined` where BullMQ has failed the job, or what was published cannot be read */
  function onEnd(jobId: string, result: SignResult | undefined) {
    expected.delete(jobId);
    if (!waiters.has(jobId)) return;
    if (result) wake(jobId, result);
    else look(jobId, true).catch(() => recheck());
  }

  const hearing = hearEnds(
    { redisUrl, prefix: store.prefix, log },
    {
      onMessage(_, message) {
        const end = message.indexOf(' ');
        onEnd(message.slice(0, end), readMessage(message.slice(end + 1)));
      },
      onListening() {
        listening = true;
        recheck(true);
      },
      onAway() {
        listening = false;
        expected.clear();
      },
    },
  );
  const timer = setInterval(recheck, RECHECK_INTERVAL);

  return {
    expect(jobId) {
      if (listening) expected.add(jobId);
    },
    forget: jobId => void expected.delete(jobId),
    async wait(jobId, signal) {
      const waiting = Promise.withResolvers<SignResult | undefined>();
      const giveUp = () => waiting.resolve(undefined);
      const ofJob = waiters.get(jobId) ?? new Set();
      waiters.set(jobId, ofJob.add(waiting.resolve));
      try {
        // A result that is there already is given even to a client that does not wait.
        if (!expected.delete(jobId)) await look(jobId);
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
      hearing[Symbol.dispose]();
    },
  };
}

function readMessage(text: string): SignResult | undefined {
  try {
    return text === '' ? undefined : parseValue('', text, isSignResult);
  } catch {
    return undefined;
  }
}
