/**
 * The one error that crosses floors: each code is one *reaction*, not one cause. Services turn codes into HTTP or into
 * a retry; nothing below them knows a status.
 *
 * - `badCsr`: the CSR itself is at fault; sending it again is useless.
 * - `denied`: this client may not have these names, or the CA refuses to issue for them.
 * - `challengeFailed`: the CA looked for the proof and did not find it.
 * - `rateLimited`: the CA asks for patience.
 * - `unavailable`: something that Quarry needs (the CA, Redis) cannot be reached or is failing; later it may work.
 * - `gone`: the CA no longer knows the order or the account; begin anew.
 * - `unknown`: the CA does not know the certificate that is to be revoked.
 * - `misconfigured`: an operator has to act (terms not accepted, external account binding missing, no fitting solver).
 * - `unexpected`: the CA answered what it should not have; somebody has to read the log.
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
  /** When trying again makes sense, in milliseconds since the epoch. */
  retryAfter?: number | undefined;
  /** What the CA said, when it was the CA that said it. */
  problem?: Problem | undefined;
};

export class IssuanceError extends Error {
  override readonly name = 'IssuanceError';
  readonly code: IssuanceErrorCode;
  /** Milliseconds since the epoch. */
  readonly retryAfter: number | undefined;
  readonly problem: Problem | undefined;

  /** @param detail one line, fit to be shown to the client: no secrets, no internals */
  constructor(code: IssuanceErrorCode, detail: string, options: IssuanceErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfter = options.retryAfter;
    this.problem = options.problem;
  }
}

/** One line for people: the message of an error and of its causes, the way a log or a start-up failure needs it. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  const own = (error.message || (error as NodeJS.ErrnoException).code || error.name)
    .replace(/\s+/g, ' ')
    .trim();
  if (inner === undefined) return own;
  const below = describeError(inner);
  return own.includes(below) ? own : `${own}: ${below}`;
}
