import { createHash } from 'node:crypto';
import type { AuthBlock } from '../admission/admit.ts';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/errors.ts';
import type { CsrText } from '../pki/csr.ts';
import type { Identifier } from '../pki/identifier.ts';

export const SIGN_QUEUE = 'sign';

/** What a sign job carries: no secret, and names only as they were admitted. */
export type SignJobData = {
  /** Canonical PEM. */
  csr: string;
  identifiers: Identifier[];
  account: string;
  /** Names of verifications in the order of preference. */
  solvers: string[];
  storage: string;
  certificateProfile?: string;
  preferredChain?: string;
  /** The certificate that this one is to replace (RFC 9773 section 4.1). */
  replaces?: string;
  /**
   * Of a renewal that no client waits for: the end of the certificate that it replaces, in milliseconds since the epoch. It
   * can wait until then.
   */
  due?: number;
  /** Of a post: how long its client waits for the result, in milliseconds. */
  patience?: number;
  /** What the auth block may use of the account's orders: a part in (0, 1], with all others whose share has this name. */
  share?: { name: string; part: number };
  /** The auth block that admitted it. */
  block: string;
  /** Of the post that made the job. */
  requestId: string;
};

/** The job that an auth block's clients are given for a CSR whose identifiers it admits. */
export function toSignJob(
  { name, verifications, storage, certificateProfile, preferredChain, share }: AuthBlock,
  {
    csr,
    ...rest
  }: { csr: CsrText } & Pick<
    SignJobData,
    'identifiers' | 'account' | 'requestId' | 'patience' | 'due' | 'replaces'
  >,
): SignJobData {
  return {
    ...{ csr: csr.pem, solvers: verifications, storage, block: name },
    ...(certificateProfile && { certificateProfile }),
    ...(preferredChain && { preferredChain }),
    ...(share && { share }),
    ...rest,
  };
}

/** How a sign job ended, as data: errors lose everything but their message on BullMQ's own way. */
export type SignResult =
  | { outcome: 'issued'; block: string; chain: string }
  | { outcome: 'failed'; block: string; error: SignFailure };

/** An `IssuanceError` on its way across the queue; `internal` is a bug, whose details stay in the worker's log. */
export type SignFailure = {
  code: IssuanceErrorCode | 'internal';
  detail: string;
  /** Milliseconds since the epoch. */
  retryAfter?: number | undefined;
  problem?: Problem | undefined;
};

export function toSignFailure(error: unknown): SignFailure {
  if (!(error instanceof IssuanceError)) return { code: 'internal', detail: 'internal error' };
  return { code: error.code, detail: error.message, retryAfter: error.retryAfter, problem: error.problem };
}

export function fromSignFailure({ code, detail, retryAfter, problem }: SignFailure): Error {
  return code === 'internal' ? new Error(detail) : new IssuanceError(code, detail, { retryAfter, problem });
}

/**
 * Equal for posts that may share one job: the same CSR through the same auth block, which says all the rest. A post shares
 * none with a renewal, which may have to wait for days.
 */
export function deduplicationId({ csr, account, solvers, storage, block, due }: SignJobData): string {
  return createHash('sha256')
    .update(
      JSON.stringify([csr, account, solvers, storage, block, ...(due === undefined ? [] : ['renewal'])]),
    )
    .digest('hex');
}
