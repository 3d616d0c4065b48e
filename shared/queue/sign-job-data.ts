import { createHash } from 'node:crypto';
import type { AccountChoice } from '../admission/account-choice.ts';
import type { AuthBlock } from '../admission/admit.ts';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import type { CsrText } from '../pki/csr.ts';
import type { IssuedBy } from '../storage/storage.ts';

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
   * The certificate that this one is to replace (RFC 9773 section 4.1), and the directory of the CA that issued it, where
   * that is recorded.
   */
  replaces?: { id: string; directory?: string };
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
export function deduplicationId({ csr, accounts, solvers, storage, block, due }: SignJobData): string {
  return createHash('sha256')
    .update(
      JSON.stringify([csr, accounts, solvers, storage, block, ...(due === undefined ? [] : ['renewal'])]),
    )
    .digest('hex');
}
