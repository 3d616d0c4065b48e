import { getSystemErrorMessage } from 'node:util';
import { judgeRedisError } from './redis-errors.ts';

// The error that crosses floors, on its way across the queue, too, and how errors are told in one line.

/**
 * The one error that crosses floors. Each code is one *reaction*, not one cause. Services turn codes into
 * HTTP or into a retry; nothing below them knows a status.
 *
 * - `badCsr`: the CSR itself is at fault; sending it again is useless.
 * - `denied`: this client may not have these names, or the CA refuses to issue for them.
 * - `challengeFailed`: the CA looked for the proof and did not find it.
 * - `rateLimited`: the CA's rate limit is hit.
 * - `unavailable`: something that Quarry needs (the CA, Redis) cannot be reached or fails; it may work later.
 * - `gone`: the CA no longer knows the order or the account; start over.
 * - `unknown`: the CA does not know the certificate that is to be revoked.
 * - `misconfigured`: an operator has to act (accept terms, add an external account binding or a solver).
 * - `unexpected`: the CA's answer breaks the protocol; an operator has to read the log.
 */
export type IssuanceErrorCode =
  | 'badCsr'
  | 'denied'
  | 'challengeFailed'
  | 'rateLimited'
  | 'unavailable'
  | 'gone'
  | 'unknown'
  | 'misconfigured'
  | 'unexpected';

/** A problem document as a CA sends it (RFC 8555 section 6.7, RFC 9457). */
export type Problem = {
  type: string;
  detail?: string;
  status?: number;
  identifier?: { type: string; value: string };
  subproblems?: Problem[];
};

export type IssuanceErrorOptions = {
  cause?: unknown;
  /** Trying again makes sense from here on, in milliseconds since the epoch. */
  retryAfter?: number | undefined;
  /** The CA's own words, where the error came from the CA. */
  problem?: Problem | undefined;
  /** Of a refusal: the auth blocks that refuse, and how they know the client. */
  blocks?: readonly { name: string; by: string }[];
};

export class IssuanceError extends Error {
  override readonly name = 'IssuanceError';
  readonly code: IssuanceErrorCode;
  /** Milliseconds since the epoch. */
  readonly retryAfter: number | undefined;
  readonly problem: Problem | undefined;
  readonly blocks: IssuanceErrorOptions['blocks'];

  /** @param detail one line, fit to be shown to the client: no secrets, no internals */
  constructor(code: IssuanceErrorCode, detail: string, options: IssuanceErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfter = options.retryAfter;
    this.problem = options.problem;
    this.blocks = options.blocks;
  }
}

/** A value in Redis that nobody can have meant. @param key where it lies; nothing of the value is told */
export const damagedValue = (key: string) =>
  new IssuanceError(
    'misconfigured',
    `the value of ${key} in Redis is damaged; delete it to go on without it`,
  );

/**
 * What Redis says where a command or a script stumbles over a value, as damage; `undefined` for all else.
 *
 * @param keys those that the script was given
 */
export function toDamage(error: unknown, keys?: readonly string[]): IssuanceError | undefined {
  if (judgeRedisError(error)?.kind !== 'damaged') return undefined;
  const { command } = error as { command?: { args?: unknown[] } };
  return damagedValue(keys?.join(' or ') ?? String(command?.args?.[0]));
}

/** An `IssuanceError` on its way across the queue; a bug is `internal`: its details stay in a log. */
export type SignFailure = Pick<IssuanceErrorOptions, 'retryAfter' | 'problem'> & {
  code: IssuanceErrorCode | 'internal';
  detail: string;
};

const failureCodes: Record<SignFailure['code'], true> = {
  badCsr: true,
  denied: true,
  challengeFailed: true,
  rateLimited: true,
  unavailable: true,
  gone: true,
  unknown: true,
  misconfigured: true,
  unexpected: true,
  internal: true,
};

export const isFailureCode = (value: unknown) => Object.hasOwn(failureCodes, String(value));

export function toSignFailure(error: unknown): SignFailure {
  if (!(error instanceof IssuanceError)) return { code: 'internal', detail: 'internal error' };
  return { code: error.code, detail: error.message, retryAfter: error.retryAfter, problem: error.problem };
}

export function fromSignFailure({ code, detail, retryAfter, problem }: SignFailure): Error {
  return code === 'internal' ? new Error(detail) : new IssuanceError(code, detail, { retryAfter, problem });
}

/** Node's own, for who starts it by hand; Quarry has options for that. */
const NODES_ADVICE = /; if the root CA is installed locally, try running Node.js with --use-system-ca/;

/** Tells an error and its causes in one line, fit for a log or a start-up failure. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  const own = (error.message || (error as NodeJS.ErrnoException).code || error.name)
    .replace(/\s+/g, ' ')
    .replace(NODES_ADVICE, '')
    .trim();
  if (inner === undefined) return own;
  const below = describeError(inner);
  return own.includes(below) ? own : `${own}: ${below}`;
}

/** Tells why a file cannot be used in the system's words, without the path and the call. */
export function describeFileError(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return errno === undefined ? message : getSystemErrorMessage(errno);
}
