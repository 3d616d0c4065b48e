import { hash } from 'node:crypto';
import type { Job } from 'bullmq';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock, Log } from '../base/basics.ts';
import { IssuanceError, type SignFailure } from '../base/errors.ts';
import {
  either,
  isFlag,
  isText,
  listOf,
  needingRedis,
  oneOf,
  optional,
  parseValue,
  type Store,
  shapeOf,
} from '../base/redis.ts';
import { type RevocationReason, revocationReasons } from '../pki/revocation.ts';
import { isJobIdOf, newJobId, openQueue, sealData } from './bullmq.ts';
import { pollResult } from './poll-result.ts';
import { isSignFailure } from './sign-job.ts';
import { openTellUnsealed, type TellUnsealed } from './tell-unsealed.ts';

export const REVOKE_QUEUE = 'revoke';

/** While the CA is away, it is asked again after 1, 2, 4, … seconds, for some minutes. */
const ATTEMPTS = { attempts: 9, backoff: { type: 'exponential', delay: 1_000 } };
const RESULT_KEPT = { age: 3_600 };
const FAILED_JOBS_KEPT = { age: 7 * 24 * 3_600, count: 1_000 };

/** What a revoke job carries; no secret. */
export type RevokeJobData = {
  /** The certificate alone, PEM as `splitChain` gives it. */
  certificate: string;
  reason?: RevocationReason;
  names: string[];
  /** The auth block that admitted it, and the accounts that it orders from. */
  block: string;
  accounts: string[];
  /** Of the post that made the job. */
  requestId: string;
  /** As in a sign job. */
  by?: string;
  client?: string;
  clientNames?: readonly string[];
  /**
   * What an ACME client has that no auth block has to admit (RFC 8555 section 7.6): the account here that
   * ordered the certificate, or the certificate's key.
   */
  holds?: 'order' | 'key';
  /**
   * An operator's act, which no auth block has to admit. `forget`: the CA is asked for nothing, only the
   * storages lose the certificate.
   */
  operator?: 'revoke' | 'forget';
};

/**
 * How a revoke job ended. `already`: the certificate was revoked before; `storages`: the names of those that
 * had it.
 */
export type RevokeResult =
  | { outcome: 'revoked'; already: boolean; account: string }
  | { outcome: 'forgotten'; storages: string[] }
  | { outcome: 'failed'; error: SignFailure };

export const isRevokeJobData = shapeOf<RevokeJobData>({
  ...{
    certificate: isText,
    reason: optional(oneOf(...Object.keys(revocationReasons))),
    names: listOf(isText),
  },
  ...{ block: isText, accounts: listOf(isText), requestId: isText },
  ...{ by: optional(isText), client: optional(isText), clientNames: optional(listOf(isText)) },
  ...{ holds: optional(oneOf('order', 'key')), operator: optional(oneOf('revoke', 'forget')) },
});

const isDone = either(
  shapeOf<Extract<RevokeResult, { outcome: 'revoked' }>>({
    ...{ outcome: oneOf('revoked'), already: isFlag, account: isText },
  }),
  shapeOf<Extract<RevokeResult, { outcome: 'forgotten' }>>({
    ...{ outcome: oneOf('forgotten'), storages: listOf(isText) },
  }),
);

const isRevokeResult = either(
  isDone,
  shapeOf<Extract<RevokeResult, { outcome: 'failed' }>>({ outcome: oneOf('failed'), error: isSignFailure }),
);

/**
 * The intake's side of the `revoke` queue. Revocations have a queue of their own, so that none waits behind
 * orders.
 */
export type RevokeQueue = AsyncDisposable & {
  /**
   * Enqueues a job, or joins that of the same certificate.
   *
   * @returns the job's id
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  enqueue(data: RevokeJobData): Promise<string>;
  /**
   * The job's result; `undefined` when the signal fires first.
   *
   * @throws IssuanceError `unavailable` when Redis cannot be reached, or has lost the job
   */
  result(jobId: string, signal: AbortSignal): Promise<RevokeResult | undefined>;
};

/** Equal for jobs that may be one. */
const whatOf = ({ certificate, operator }: RevokeJobData) =>
  operator === 'forget' ? `forget ${certificate}` : certificate;

/** @param store an impatient connection, kept open by the caller */
export function openRevokeQueue(parts: { store: Store; seals: Seals; clock: Clock; log: Log }): RevokeQueue {
  const { store, seals, clock } = parts;
  const queue = openQueue<RevokeJobData, string>(REVOKE_QUEUE, parts);
  const tellUnsealed = openTellUnsealed(parts);

  async function add(data: RevokeJobData, what: string, deduplication?: { id: string }): Promise<string> {
    const own = newJobId(seals, what);
    const job = await queue.add('revoke', sealData(seals, REVOKE_QUEUE, own, data), {
      jobId: own,
      ...(deduplication && { deduplication }),
      ...ATTEMPTS,
      removeOnComplete: RESULT_KEPT,
      removeOnFail: FAILED_JOBS_KEPT,
    });
    return job.id ?? '';
  }

  return {
    enqueue: data =>
      needingRedis(async () => {
        const what = hash('sha256', whatOf(data));
        const id = await add(data, what, { id: what });
        return isJobIdOf(seals, id, what) ? id : add(data, what);
      }),
    result(jobId, signal) {
      const seen = { prefix: store.prefix, seals, tellUnsealed };
      const look = async () => readResult(await needingRedis(() => queue.getJob(jobId)), seen);
      return pollResult(look, clock, signal);
    },
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

const resultOf = (jobId: string) => `${REVOKE_QUEUE} result ${jobId}`;

/** What a worker ends a job with. */
export const sealRevokeResult = (seals: Seals, jobId: string, result: RevokeResult): string =>
  toSealed(seals, resultOf(jobId), JSON.stringify(result));

function readResult(
  job: Job<RevokeJobData, string> | undefined,
  { prefix, seals, tellUnsealed }: { prefix: string; seals: Seals; tellUnsealed: TellUnsealed },
): RevokeResult | undefined {
  if (!job) throw new IssuanceError('unavailable', 'the revocation was lost: post the certificate again');
  const { id = '', finishedOn, returnvalue: sealed } = job;
  if (finishedOn === undefined) return undefined;
  // A job that BullMQ itself or a bug has failed has no result; details stay in the worker's log.
  if (!sealed) return { outcome: 'failed', error: { code: 'internal', detail: 'internal error' } };
  const text = fromSealed(seals, resultOf(id), `${sealed}`);
  if (text !== undefined)
    return parseValue(`${prefix}:${REVOKE_QUEUE}:${id} returnvalue`, text, isRevokeResult);
  tellUnsealed(id, 'what Redis gave as the result of a revocation bears no seal of this installation');
  const detail = 'the result in Redis bears no seal of this installation: post the certificate again';
  throw new IssuanceError('unavailable', detail);
}
