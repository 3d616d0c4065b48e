import type { AccountChoice } from '../admission/account-choice.ts';
import { isFailureCode, type Problem, type SignFailure, toSignFailure } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import { either, isNumber, isText, listOf, oneOf, optional, shapeOf } from '../base/redis.ts';
import type { IssuedBy } from '../storage/storage.ts';

export const SIGN_QUEUE = 'sign';

/** What a sign job carries: no secret, and names only as they were admitted. */
export type SignJobData = {
  /** Canonical PEM. */
  csr: string;
  identifiers: Identifier[];
  /** The `keyDigest` of the CSR's key; absent in the jobs of earlier versions. */
  publicKey?: string;
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
  /** The auth block that admitted it. */
  block: string;
  /** Of the post that made the job. */
  requestId: string;
  /** Of a post: by what its block knew the client, as admission says it. */
  by?: string;
  /** Of a post: the client's address. */
  client?: string;
  /** The names that the client's own proof admits, where it narrows those of the block. */
  clientNames?: readonly string[];
  /** The digest of the one-time token that the job uses up, unless it fails. */
  spends?: string;
  /**
   * The order of an ACME client that ends with this job. Its `storage` is '': the chain is kept with the
   * order. Workers of earlier versions refuse it.
   */
  order?: string;
  /** The id of the account here that has the order. */
  clientAccount?: string;
};

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

/** How a job has ended that BullMQ has failed for good. */
export const failedByQueue = (block: string): Extract<SignResult, { outcome: 'failed' }> => ({
  ...{ outcome: 'failed', block },
  error: toSignFailure(undefined),
});

// What Redis holds of them is checked where it is read.

const isIssuedBy = shapeOf<IssuedBy>({ account: isText, directory: isText });
const isProblem = shapeOf<Pick<Problem, 'type'>>({ type: isText });
export const isSignFailure = shapeOf<SignFailure>({
  ...{ code: isFailureCode, detail: isText, retryAfter: optional(isNumber), problem: optional(isProblem) },
});

export const isSignResult = either(
  shapeOf<Extract<SignResult, { outcome: 'issued' }>>({
    ...{ outcome: oneOf('issued'), block: isText, chain: isText, issuedBy: optional(isIssuedBy) },
    refused: optional(listOf(shapeOf({ account: isText, reason: isText }))),
  }),
  shapeOf<Extract<SignResult, { outcome: 'failed' }>>({
    ...{ outcome: oneOf('failed'), block: isText, error: isSignFailure },
  }),
);

export const isSignJobData = shapeOf<SignJobData>({
  ...{ csr: isText, identifiers: listOf(shapeOf<Identifier>({ type: oneOf('dns', 'ip'), value: isText })) },
  accounts: listOf(shapeOf<Pick<AccountChoice, 'account'>>({ account: isText })),
  ...{ publicKey: optional(isText), solvers: listOf(isText), storage: isText, block: isText },
  replaces: optional(shapeOf({ id: isText, directory: optional(isText) })),
  ...{ due: optional(isNumber), patience: optional(isNumber), requestId: isText },
  ...{ spends: optional(isText), order: optional(isText), clientAccount: optional(isText) },
  ...{ by: optional(isText), client: optional(isText), clientNames: optional(listOf(isText)) },
});
