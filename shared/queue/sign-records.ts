import { createHash } from 'node:crypto';
import type { AccountChoice } from '../admission/account-choice.ts';
import type { AuthBlock } from '../admission/admit.ts';
import type { SignFailure } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Store } from '../base/redis.ts';
import type { CsrText } from '../pki/csr.ts';
import type { IssuedBy } from '../storage/storage.ts';
import type { JobLock } from './bullmq.ts';

export const SIGN_QUEUE = 'sign';

/** What a sign job carries: no secret, and names only as they were admitted. */
export type SignJobData = {
  /** Canonical PEM. */
  csr: string;
  identifiers: Identifier[];
  /** In the order of preference; at least one. */
  accounts: AccountChoice[];
  /** Names of verifications in the order of preference. */
  solvers: string[];
  storage: string;
  /**
   * The certificate that this one is to replace (RFC 9773 section 4.1), and the directory of the CA that
   * issued it, where that is recorded.
   */
  replaces?: { id: string; directory?: string };
  /**
   * Of a renewal that no client waits for: the end of the certificate that it replaces, in milliseconds since
   * the epoch. It can wait until then.
   */
  due?: number;
  /** Of a post: how long its client waits for the result, in milliseconds. */
  patience?: number;
  /**
   * What the auth block may use of the account's orders: a part in (0, 1], with all others whose share has
   * this name.
   */
  share?: { name: string; part: number };
  /** The auth block that admitted it. */
  block: string;
  /** Of the post that made the job. */
  requestId: string;
};

/** The job that an auth block's clients are given for a CSR whose identifiers it admits. */
export function toSignJob(
  { name, accounts, verifications, storage, share }: AuthBlock,
  csr: CsrText,
  more: Pick<SignJobData, 'identifiers' | 'requestId' | 'patience' | 'due' | 'replaces'>,
): SignJobData {
  return {
    csr: csr.pem,
    accounts,
    solvers: verifications,
    storage,
    block: name,
    ...(share && { share }),
    ...more,
  };
}

/** How a sign job ended, as data: errors lose everything but their message on BullMQ's own way. */
export type SignResult =
  | {
      outcome: 'issued';
      block: string;
      chain: string;
      /** Absent where it comes from a storage that does not say. */
      issuedBy?: IssuedBy;
      /** The accounts that were to be preferred, and why they did not issue. */
      refused?: { account: string; reason: string }[];
    }
  | { outcome: 'failed'; block: string; error: SignFailure };

/**
 * Equal for posts that may share one job: the same CSR through the same auth block, which says all the rest.
 * A post shares none with a renewal, which may have to wait for days.
 */
export function deduplicationId({ csr, accounts, solvers, storage, block, due }: SignJobData): string {
  return createHash('sha256')
    .update(
      JSON.stringify([csr, accounts, solvers, storage, block, ...(due === undefined ? [] : ['renewal'])]),
    )
    .digest('hex');
}

const RESULT_LIFE_SECONDS = 24 * 3_600;
/** No result that holds the certificate lasts longer than this. */
const REVOKED_LIFE_SECONDS = RESULT_LIFE_SECONDS + 3_600;
const CHECKPOINT_LIFE_SECONDS = 7 * 24 * 3_600;
/**
 * A worker may be killed before BullMQ hears of the end; the job then runs again, and must find the order.
 */
const FINISHED_CHECKPOINT_LIFE_SECONDS = 600;

/**
 * Writes only while the job's lock is still the caller's: a worker that lost it must not overwrite its
 * successor.
 *
 * KEYS: lock, what to write. ARGV: token, its value, its life.
 */
const WRITE_FENCED = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1`;

/**
 * Writes a result under the same fence; after it the checkpoint is of little use, and others may order the
 * same names.
 *
 * KEYS: lock, result, checkpoint, flight. ARGV: token, result, its life, the checkpoint's, the job's id.
 */
const WRITE_RESULT = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[4])
if redis.call('GET', KEYS[4]) == ARGV[5] then redis.call('DEL', KEYS[4]) end
return 1`;

/** Longer than any job lives, so that a job which Redis has lost does not keep others out for ever. */
const FLIGHT_LIFE_SECONDS = 65 * 60;

/** Takes the flight where it is free or this job's already. */
const ENTER_FLIGHT = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1`;

const LEAVE_FLIGHT = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

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

/** What is kept of a sign job outside BullMQ: the state of its order, and its result. */
export type SignRecords = {
  /** @throws LockLostError when another worker has the job now */
  confirmLock(lock: JobLock): Promise<void>;
  /** How far a job came, and where its result is, if that is written already. */
  readJob(
    jobId: string,
  ): Promise<{ checkpoint: unknown; resultWritten: { key: string; result: SignResult } | undefined }>;
  /** @throws LockLostError when another worker has the job now */
  writeCheckpoint(lock: JobLock, state: unknown): Promise<void>;
  /** `undefined` also where the certificate of the result was revoked since; so does `readResults`. */
  readResult(jobId: string): Promise<SignResult | undefined>;
  readResults(jobIds: string[]): Promise<(SignResult | undefined)[]>;
  /**
   * Writes the result, and lets others order the same names.
   *
   * @param flight what the job has ordered
   * @returns the key of the result
   * @throws LockLostError when another worker has the job now
   */
  writeResult(lock: JobLock, result: SignResult, flight: Flight): Promise<string>;
  /** @returns false while another job has an order for the same */
  enterFlight(jobId: string, flight: Flight): Promise<boolean>;
  leaveFlight(jobId: string, flight: Flight): Promise<void>;
  /** Has no result hand out a certificate any more. @param certificate its PEM */
  markRevoked(certificate: string): Promise<void>;
};

export function openSignRecords({ redis, prefix }: Store): SignRecords {
  const checkpointKey = (jobId: string) => `${prefix}:checkpoint:${jobId}`;
  const resultKey = (jobId: string) => `${prefix}:result:${jobId}`;
  const revokedKey = (chain: string) => `${prefix}:revoked:${fingerprint(chain)}`;
  const flightKey = (flight: Flight) => `${prefix}:flight:${digestOf(flight)}`;
  const lockKey = (jobId: string) => `${prefix}:${SIGN_QUEUE}:${jobId}:lock`;
  const lost = (jobId: string) => new LockLostError(`job ${jobId} belongs to another worker now`);

  async function writeFenced({ jobId, token }: JobLock, key: string, value: unknown, seconds: number) {
    const text = JSON.stringify(value);
    const written = await redis.eval(WRITE_FENCED, 2, lockKey(jobId), key, token, text, seconds);
    if (written !== 1) throw lost(jobId);
  }

  const parse = <T>(text: string | null | undefined) => (text ? (JSON.parse(text) as T) : undefined);

  async function dropRevoked(results: (SignResult | undefined)[]): Promise<typeof results> {
    const marks = results.map(result => (result?.outcome === 'issued' ? revokedKey(result.chain) : ''));
    const wanted = marks.filter(mark => mark !== '');
    if (wanted.length === 0) return results;
    const found = await redis.mget(wanted);
    const revoked = new Set(wanted.filter((_, index) => found[index] !== null));
    return results.map((result, index) => (revoked.has(marks[index] ?? '') ? undefined : result));
  }

  return {
    confirmLock: async ({ jobId, token }) => {
      if ((await redis.get(lockKey(jobId))) !== token) throw lost(jobId);
    },
    readJob: async jobId => {
      const key = resultKey(jobId);
      const [checkpoint, text] = await redis.mget(checkpointKey(jobId), key);
      const result = parse<SignResult>(text);
      return { checkpoint: parse(checkpoint), resultWritten: result && { key, result } };
    },
    writeCheckpoint: (lock, state) =>
      writeFenced(lock, checkpointKey(lock.jobId), state, CHECKPOINT_LIFE_SECONDS),
    readResult: async jobId => (await dropRevoked([parse(await redis.get(resultKey(jobId)))]))[0],
    readResults: async jobIds => {
      if (jobIds.length === 0) return [];
      return dropRevoked((await redis.mget(jobIds.map(resultKey))).map(text => parse<SignResult>(text)));
    },
    writeResult: async ({ jobId, token }, result, flight) => {
      const keys = [lockKey(jobId), resultKey(jobId), checkpointKey(jobId), flightKey(flight)];
      const lives = [RESULT_LIFE_SECONDS, FINISHED_CHECKPOINT_LIFE_SECONDS];
      const values = [token, JSON.stringify(result), ...lives, jobId];
      const written = await redis.eval(WRITE_RESULT, 4, ...keys, ...values);
      if (written !== 1) throw lost(jobId);
      return resultKey(jobId);
    },
    enterFlight: async (jobId, flight) =>
      (await redis.eval(ENTER_FLIGHT, 1, flightKey(flight), jobId, FLIGHT_LIFE_SECONDS)) === 1,
    leaveFlight: async (jobId, flight) => {
      await redis.eval(LEAVE_FLIGHT, 1, flightKey(flight), jobId);
    },
    markRevoked: async certificate => {
      await redis.set(revokedKey(certificate), '1', 'EX', REVOKED_LIFE_SECONDS);
    },
  };
}

/** Of the first certificate of a chain. */
function fingerprint(chain: string): string {
  const [leaf = chain] = chain.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/) ?? [];
  return createHash('sha256').update(leaf).digest('hex');
}

function digestOf({ account, identifiers, certificateProfile }: Flight): string {
  const names = identifiers.map(({ type, value }) => `${type}:${value}`).sort();
  const what = JSON.stringify([account, certificateProfile ?? null, names]);
  return createHash('sha256').update(what).digest('hex');
}
