import { hash } from 'node:crypto';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import { tokenUseKey } from '../admission/token-record.ts';
import type { Identifier } from '../base/identifier.ts';
import { parseValue, runScript, type Store } from '../base/redis.ts';
import { runInTurn, type ScriptRun } from '../base/run-in-turn.ts';
import type { TrailEvent } from '../trail/event.ts';
import { openTrail, trailKey } from '../trail/trail.ts';
import type { JobLock } from './bullmq.ts';
import { openRenewLocks } from './job-locks.ts';
import { heardKeys, type Moves, movesChannel, openMoves } from './moves.ts';
import { openResults, type Results, unsealedResult } from './read-results.ts';
import { isSignResult, SIGN_QUEUE, type SignJobData, type SignResult } from './sign-job.ts';
import { ENTER_FLIGHT, HELD, LEAVE_FLIGHT, WRITE_FENCED, WRITE_RESULT } from './sign-scripts.ts';

export { failedByQueue, isSignJobData, SIGN_QUEUE, type SignJobData, type SignResult } from './sign-job.ts';

/**
 * Equal for posts that may share one job: the same CSR through the same auth block, which says all the rest.
 * A post shares none with a renewal, which may have to wait for days, those by a one-time token share one
 * among themselves, and so do the finalize requests of an ACME client's order.
 */
export function deduplicationId(data: SignJobData): string {
  const { csr, accounts, solvers, storage, block, due, spends = [], order = [] } = data;
  const also = due === undefined ? [] : ['renewal'];
  const what = [csr, accounts, solvers, storage, block, ...also].concat(spends, order);
  return hash('sha256', JSON.stringify(what));
}

const RESULT_LIFE_SECONDS = 24 * 3_600;
const CHECKPOINT_LIFE_SECONDS = 7 * 24 * 3_600;
/**
 * A worker may be killed before BullMQ hears of the end; the job then runs again, and must find the order.
 */
const FINISHED_CHECKPOINT_LIFE_SECONDS = 600;

/**
 * Where whoever waits hears of ends: the job's id, a space, and the result with its seal, which is empty
 * where there is none.
 */
export const resultsChannel = (prefix: string) => `${prefix}:results`;

/** Of what a checkpoint bears a seal. */
export const checkpointOf = (jobId: string) => `${SIGN_QUEUE} checkpoint ${jobId}`;

/** Of what a result, in Redis or in a message, bears a seal. */
const resultOf = (jobId: string) => `${SIGN_QUEUE} result ${jobId}`;

/**
 * @param key where it was found
 * @param sealed with its seal in front; the text is empty where a job has ended without a result
 * @returns `unsealedResult` where it bears none
 * @throws IssuanceError `misconfigured` where it is damaged
 */
function parseResult(
  seals: Seals,
  jobId: string,
  key: string,
  sealed: string | null | undefined,
): SignResult | undefined {
  if (!sealed) return undefined;
  const text = fromSealed(seals, resultOf(jobId), sealed);
  if (text === undefined) return unsealedResult;
  return text === '' ? undefined : parseValue(key, text, isSignResult);
}

/** As `parseResult`; `undefined` also where what was published cannot be read. */
export function parsePublished(seals: Seals, jobId: string, sealed: string): SignResult | undefined {
  try {
    return sealed === '' ? unsealedResult : parseResult(seals, jobId, '', sealed);
  } catch {
    return undefined;
  }
}

/** Longer than any job lives, so that a job which Redis has lost does not keep others out for ever. */
const FLIGHT_LIFE_SECONDS = 65 * 60;

/**
 * What one job at a time may order: Let's Encrypt hands the same pending order to all that ask for the same
 * names, whatever their CSRs.
 */
export type Flight = {
  account: string;
  identifiers: readonly Identifier[];
  certificateProfile?: string | undefined;
};

export class LockLostError extends Error {
  override readonly name = 'LockLostError';
}

type Values = (string | null)[];

type KeptOfJob<Checkpoint> = {
  checkpoint: Checkpoint | undefined;
  resultWritten: { key: string; result: SignResult } | undefined;
};

/** An event of the trail that is written in the same moment, with fields `beside` it as `Trail` has them. */
export type Told = { event: TrailEvent; beside?: string[] };

/** What is kept of a sign job outside BullMQ: the state of its order, and its result. */
export type SignRecords = Results &
  Moves & {
    /**
     * @param more keys to be read in the same round trip
     * @returns their values
     * @throws LockLostError when another worker has the job now
     */
    confirmLock(lock: JobLock, more?: readonly string[]): Promise<Values>;
    /**
     * How far a job came, and where its result is, if that is written already. What bears no seal is passed
     * over, as if Redis had lost it.
     *
     * @throws IssuanceError `misconfigured` where one of the two is damaged
     */
    readJob<Checkpoint>(
      jobId: string,
      isCheckpoint: (value: unknown) => value is Checkpoint,
    ): Promise<KeptOfJob<Checkpoint>>;
    /** @throws LockLostError when another worker has the job now */
    writeCheckpoint(lock: JobLock, state: unknown, event?: TrailEvent): Promise<void>;
    /**
     * Writes the result, and lets others order the same names.
     *
     * @param flight what the job has ordered
     * @param over keys of what this end makes void
     * @returns the key of the result
     * @throws LockLostError when another worker has the job now
     */
    writeResult(
      lock: JobLock,
      result: SignResult,
      flight: Flight,
      over?: string[],
      told?: Told,
    ): Promise<string>;
    /**
     * The same, in one moment with scripts that go before it.
     *
     * @returns `undefined` where one of them does not answer 1: then nothing is written
     */
    writeResultAfter(
      first: readonly ScriptRun[],
      ...written: Parameters<SignRecords['writeResult']>
    ): Promise<string | undefined>;
    /** Tells those who wait that BullMQ has failed the job for good. @param over as of `writeResult` */
    publishFailure(jobId: string, over?: string[]): Promise<void>;
    /** Where it is kept what a one-time token, by its digest, was used for. */
    tokenUse(digest: string): string;
    /**
     * @param more keys to be read in the same round trip
     * @returns their values; `undefined` while another job has an order for the same
     * @throws LockLostError when another worker has the job now
     */
    enterFlight(lock: JobLock, flight: Flight, more: readonly string[]): Promise<Values | undefined>;
    /** @throws LockLostError when another worker has the job now, whose flight it is then */
    leaveFlight(lock: JobLock, flight: Flight): Promise<void>;
    /** The key of a job that is there while somebody listens for it: `tellFinalizing` is of use only then. */
    heardKey(jobId: string): string;
  };

/** @param seals of the installation: all that is written bears one */
export function openSignRecords(store: Store, seals: Seals): SignRecords {
  const { redis, prefix } = store;
  const resultKey = (jobId: string) => `${prefix}:result:${jobId}`;
  const checkpointKey = (jobId: string) => `${prefix}:checkpoint:${jobId}`;
  const flightKey = (flight: Flight) => `${prefix}:flight:${digestOf(flight)}`;
  const lockKey = (jobId: string) => `${prefix}:${SIGN_QUEUE}:${jobId}:lock`;
  const fence = (jobId: string) => [lockKey(jobId), `${prefix}:${SIGN_QUEUE}:${jobId}`];
  const renewLocks = openRenewLocks(store, SIGN_QUEUE);
  const [heard, channel] = [heardKeys(prefix), movesChannel(prefix)];
  const parse = (jobId: string, key: string, sealed: string | null | undefined) =>
    parseResult(seals, jobId, key, sealed);
  const lost = (jobId: string) => new LockLostError(`job ${jobId} belongs to another worker now`);

  const [stream, { entryFor }] = [trailKey(prefix), openTrail(store)];
  const toEntry = (told: Told | undefined) => (told ? entryFor(told.event, told.beside) : []);

  function toWriting(...written: Parameters<SignRecords['writeResult']>): ScriptRun {
    const [{ jobId, token, takes = '' }, result, flight, over = [], told] = written;
    const kept = [resultKey(jobId), checkpointKey(jobId), flightKey(flight)];
    const lives = [RESULT_LIFE_SECONDS, FINISHED_CHECKPOINT_LIFE_SECONDS];
    const sealed = toSealed(seals, resultOf(jobId), JSON.stringify(result));
    const args = [token, takes, sealed, ...lives, jobId, resultsChannel(prefix), ...toEntry(told)];
    return { script: WRITE_RESULT, keys: [...fence(jobId), ...kept, stream, ...over], args };
  }

  return {
    ...openResults(store, { resultKey, parse }),
    ...openMoves(store, seals),
    heardKey: jobId => heard + jobId,
    confirmLock: async (lock, more = []) => {
      const [holder, ...values] = await redis.mget(lockKey(lock.jobId), ...more);
      const isLost = holder === null ? (await renewLocks([lock])).length > 0 : holder !== lock.token;
      if (isLost) throw lost(lock.jobId);
      return values;
    },
    async readJob(jobId, isCheckpoint) {
      const key = resultKey(jobId);
      const [sealed, text] = await redis.mget(checkpointKey(jobId), key);
      const checkpoint = sealed && fromSealed(seals, checkpointOf(jobId), sealed);
      const result = parse(jobId, key, text);
      return {
        checkpoint: checkpoint ? parseValue(checkpointKey(jobId), checkpoint, isCheckpoint) : undefined,
        resultWritten: result && result !== unsealedResult ? { key, result } : undefined,
      };
    },
    async writeCheckpoint({ jobId, token, takes = '' }, state, event) {
      const sealed = toSealed(seals, checkpointOf(jobId), JSON.stringify(state));
      const kept = [checkpointKey(jobId), heard + jobId, ...(event ? [stream] : [])];
      const told = [channel, jobId, ...toEntry(event && { event })];
      const values = [token, takes, sealed, CHECKPOINT_LIFE_SECONDS, ...told];
      if ((await runScript(redis, WRITE_FENCED, [...fence(jobId), ...kept], values)) !== 1) throw lost(jobId);
    },
    writeResult: async (lock, ...written) => {
      const { script, keys, args } = toWriting(lock, ...written);
      if ((await runScript(redis, script, keys, args)) !== 1) throw lost(lock.jobId);
      return resultKey(lock.jobId);
    },
    writeResultAfter: async (first, lock, ...written) => {
      const { jobId, token, takes = '' } = lock;
      const held = { script: HELD, keys: fence(jobId), args: [token, takes] };
      const done = await runInTurn(redis, [held, ...first, toWriting(lock, ...written)]);
      if (done === 0) throw lost(jobId);
      return done === first.length + 2 ? resultKey(jobId) : undefined;
    },
    publishFailure: async (jobId, over = []) => {
      if (over.length > 0) await redis.del(over);
      await redis.publish(resultsChannel(prefix), `${jobId} ${toSealed(seals, resultOf(jobId), '')}`);
    },
    tokenUse: digest => tokenUseKey(prefix, digest),
    enterFlight: async ({ jobId, token, takes = '' }, flight, more) => {
      const keys = [...fence(jobId), flightKey(flight), ...more];
      const values = await runScript(redis, ENTER_FLIGHT, keys, [token, takes, jobId, FLIGHT_LIFE_SECONDS]);
      if (values === 0) throw lost(jobId);
      return (values as Values | null) ?? undefined;
    },
    leaveFlight: async ({ jobId, token, takes = '' }, flight) => {
      const keys = [...fence(jobId), flightKey(flight)];
      if ((await runScript(redis, LEAVE_FLIGHT, keys, [token, takes, jobId])) !== 1) throw lost(jobId);
    },
  };
}

function digestOf({ account, identifiers, certificateProfile }: Flight): string {
  const names = identifiers.map(({ type, value }) => `${type}:${value}`).sort();
  return hash('sha256', JSON.stringify([account, certificateProfile ?? null, names]));
}
