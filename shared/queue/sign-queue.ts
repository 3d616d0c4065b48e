import type { Seals } from '../admission/hmac.ts';
import type { Clock, Log } from '../base/basics.ts';
import { needingRedis, runScript, type Store } from '../base/redis.ts';
import type { RedisAddress } from '../base/redis-address.ts';
import { isJobIdOf, newJobId, openQueue, sealData } from './bullmq.ts';
import { type FoundJob, openFindJob } from './find-job.ts';
import { hearEnds } from './hear-ends.ts';
import { openFindMissed } from './missed-ends.ts';
import { unsealedResult } from './read-results.ts';
import {
  deduplicationId,
  openSignRecords,
  parsePublished,
  resultsChannel,
  SIGN_QUEUE,
  type SignJobData,
  type SignRecords,
  type SignResult,
} from './sign-records.ts';
import { openStandings, type Standings } from './standing.ts';
import { openTellUnsealed } from './tell-unsealed.ts';
import { ASK_TURN, POSTS, RENEWALS } from './turns.ts';

const PROMISE_LIFE_SECONDS = 24 * 3_600;
/** BullMQ's attempts cover failures of Redis only: what fails an order becomes the job's result. */
const ATTEMPTS = { attempts: 10, backoff: { type: 'fixed', delay: 1_000 } };
const FAILED_JOBS_KEPT = { age: 7 * 24 * 3_600, count: 1_000 };
const RECHECK_INTERVAL = 3_000;
const UNSEALED = 'what Redis gave as the result of a job bears no seal of this installation';

/** What may stand against a job: where a key is there, `refuse` is asked before anything else is done. */
export type Against = { keys: readonly string[]; refuse(): Promise<void> };

/** The intake's side of the `sign` queue. */
export type SignQueue = AsyncDisposable & {
  /**
   * Enqueues a job, or joins the one that an identical post made.
   *
   * @param reserve is given a new id before the job is made, and gives the one that it is to have
   * @returns the job's unguessable id
   * @throws IssuanceError `unavailable` when Redis cannot be reached; what `against.refuse` throws
   */
  enqueue(data: SignJobData, reserve?: (id: string) => Promise<string>, against?: Against): Promise<string>;
  /** The job's result; `undefined` when the signal fires first, or when Redis has lost the job. */
  result(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
  /** `undefined` where no such job is known. */
  find(jobId: string): Promise<FoundJob | undefined>;
  /** What is known of a job before it ends. */
  standings: Pick<Standings, 'read' | 'listen' | 'namesOf'>;
  /**
   * Remembers that a client was sent away with the job unfinished: its next identical post gets this job's
   * result.
   */
  promise(jobId: string, data: SignJobData): Promise<void>;
};

type Parts = { store: Store; redisAddress: RedisAddress; seals: Seals; clock: Clock; log: Log };

/** @param parts.store an impatient connection, kept open by the caller */
export function openSignQueue(parts: Parts): SignQueue {
  const { store, seals } = parts;
  const { redis, prefix } = store;
  const records = openSignRecords(store, seals);
  const standings = openStandings(store, seals);
  const waiters = openWaiters(parts, records, standings);
  const queue = openQueue<SignJobData>(SIGN_QUEUE, parts);
  const findJob = openFindJob(jobId => queue.getJob(jobId), records, seals);
  const jobs = `${prefix}:${SIGN_QUEUE}:`;
  const promiseKey = (same: string) => `${prefix}:promise:${same}`;

  /** @returns the job that was promised to whoever asks for the same, or ''; and the priority of a new one */
  async function askTurn(
    data: SignJobData,
    same: string,
    against?: Against,
  ): Promise<[promised: string, priority: number]> {
    const { turns, first, last } = data.due === undefined ? POSTS : RENEWALS;
    const own = [`${jobs}prioritized`, `${prefix}:turns:${turns}`, promiseKey(same), `${jobs}de:${same}`];
    const keys = against ? own.concat(against.keys) : own;
    const answer = await runScript(redis, ASK_TURN, keys, [jobs, data.block, first, last]);
    if (answer) return answer as [string, number];
    await against?.refuse();
    return askTurn(data, same);
  }

  /** Whoever writes to Redis may have promised any job. */
  async function isKept(promised: string, same: string): Promise<boolean> {
    return isJobIdOf(seals, promised, same) && (await records.readResult(promised))?.outcome === 'issued';
  }

  /** @returns the id of the job that was made, or of the one with the same deduplication */
  async function add(
    data: SignJobData,
    own: string,
    options: { priority: number; deduplication?: { id: string } },
  ): Promise<string> {
    let id = '';
    waiters.expect(own);
    try {
      const job = await queue.add('sign', sealData(seals, SIGN_QUEUE, own, data), {
        jobId: own,
        ...options,
        ...ATTEMPTS,
        removeOnComplete: true,
        removeOnFail: FAILED_JOBS_KEPT,
      });
      id = job.id ?? '';
    } finally {
      if (id !== own) waiters.forget(own);
    }
    return id;
  }

  return {
    enqueue: (data, reserve, against) =>
      needingRedis(async () => {
        const same = deduplicationId(data);
        const [promised, priority] = await askTurn(data, same, against);
        if (promised && (await isKept(promised, same))) return promised;
        const newId = newJobId(seals, same);
        const own = reserve ? await reserve(newId) : newId;
        const id = await add(data, own, { priority, deduplication: { id: same } });
        if (id === own || isJobIdOf(seals, id, same)) return id;
        // It would lead to the result of another job, or of one that an earlier version made without a seal.
        const [, turn] = await askTurn(data, own);
        return add(data, own, { priority: turn });
      }),
    result: (jobId, signal) => needingRedis(() => waiters.wait(jobId, signal)),
    find: jobId => needingRedis(() => findJob(jobId)),
    standings,
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
function openWaiters(parts: Parts, records: SignRecords, moves: Pick<Standings, 'tell'>): Waiters {
  const { store, redisAddress, seals, log } = parts;
  const tellUnsealed = openTellUnsealed(parts);
  const findMissed = openFindMissed(store, records);
  const waiters = new Map<string, Set<Wake>>();
  /** Jobs made by this process whose end was not published yet, as long as nothing was missed. */
  const expected = new Set<string>();
  /** Whether every end from now on will be heard of. */
  let listening = false;

  /** @param isOver whether no other result will come */
  function wake(jobId: string, result: SignResult | undefined, isOver = false) {
    if (result === unsealedResult) tellUnsealed(jobId, UNSEALED);
    if (result === unsealedResult && !isOver) return; // the true one may still come
    for (const waiter of waiters.get(jobId) ?? []) waiter(result);
  }

  async function look(jobId: string, isOver = false) {
    const [result] = await records.readResults([jobId]);
    if (result || isOver) wake(jobId, result, isOver);
  }

  async function lookAtAll(forLost?: boolean) {
    for (const { jobId, result, isOver } of await findMissed([...waiters.keys()], forLost))
      wake(jobId, result, isOver);
  }

  function recheck(forLost?: boolean) {
    lookAtAll(forLost).catch(error => log.debug({ reason: String(error) }, 'results cannot be read'));
  }

  const ends = resultsChannel(store.prefix);

  function onMessage(channel: string, message: string) {
    if (channel !== ends) return moves.tell(message);
    const end = message.indexOf(' ');
    const jobId = message.slice(0, end);
    expected.delete(jobId);
    if (!waiters.has(jobId)) return;
    const result = parsePublished(seals, jobId, message.slice(end + 1));
    if (result) wake(jobId, result);
    else look(jobId, true).catch(() => recheck());
  }

  const hearing = hearEnds(
    { redisAddress, prefix: store.prefix, log },
    {
      onMessage,
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
