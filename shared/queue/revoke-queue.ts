import type { Seals } from '../admission/hmac.ts';
import { IssuanceError, type SignFailure } from '../base/errors.ts';
import { either, isFlag, isText, listOf, oneOf, optional, shapeOf } from '../base/redis.ts';
import { type RevocationReason, revocationReasons } from '../pki/revocation.ts';
import { type AskedQueue, type AskedQueueParts, openAskedQueue, sealResult } from './asked-queue.ts';
import { isSignFailure } from './sign-job.ts';

export const REVOKE_QUEUE = 'revoke';

/** While the CA is away, it is asked again for some minutes. */
const ATTEMPTS = 9;

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

/** The intake's side of the queue, which is one of its own so that no revocation waits behind orders. */
export type RevokeQueue = AskedQueue<RevokeJobData, RevokeResult>;

export const openRevokeQueue = (parts: AskedQueueParts): RevokeQueue =>
  openAskedQueue(
    {
      queue: REVOKE_QUEUE,
      nameOf: () => 'revoke',
      whatOf: ({ certificate, operator }) => (operator === 'forget' ? `forget ${certificate}` : certificate),
      attempts: ATTEMPTS,
      resultKept: 3_600,
      failedKept: { age: 7 * 24 * 3_600, count: 1_000 },
      isResult: isRevokeResult,
      withoutResult(isLost) {
        if (isLost)
          throw new IssuanceError('unavailable', 'the revocation was lost: post the certificate again');
        return { outcome: 'failed', error: { code: 'internal', detail: 'internal error' } };
      },
      words: { job: 'a revocation', again: 'post the certificate again' },
    },
    parts,
  );

/** What a worker ends a job with. */
export const sealRevokeResult = (seals: Seals, jobId: string, result: RevokeResult): string =>
  sealResult(seals, REVOKE_QUEUE, jobId, result);
