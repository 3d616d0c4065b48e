import { IssuanceError, type Problem } from '../base/errors.ts';

// What an ACME client reads where its request comes to nothing (RFC 8555 section 6.7).

/** The registered error types (IANA, "ACME Error Types") that Quarry answers with, and the status of each. */
const statuses = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  alreadyRevoked: 400,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badRevocationReason: 400,
  badSignatureAlgorithm: 400,
  caa: 403,
  compound: 400,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  invalidContact: 400,
  invalidProfile: 400,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 403,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedContact: 400,
  unsupportedIdentifier: 400,
  userActionRequired: 403,
};

export type AcmeErrorKind = keyof typeof statuses;

type Identifier = { type: string; value: string };

/** What is wrong with one identifier among others; a problem itself names none (RFC 8555 section 6.7.1). */
type Subproblem = { kind: AcmeErrorKind; detail: string; identifier?: Identifier };

/** What an answer may say besides. */
type More = {
  subproblems?: readonly Subproblem[] | undefined;
  /** Trying again makes sense from here on, in milliseconds since the epoch. */
  retryAfter?: number | undefined;
  /** Of `badSignatureAlgorithm`: those that are taken (RFC 8555 section 6.2). */
  algorithms?: readonly string[] | undefined;
  /** Of `userActionRequired`: the page where a person has to act (RFC 8555 section 6.7). */
  instance?: string | undefined;
  headers?: Record<string, string> | undefined;
};

/** An answer of an ACME route. It never leaves the intake: what crosses floors is an `IssuanceError`. */
export class AcmeError extends Error {
  override readonly name = 'AcmeError';
  readonly kind: AcmeErrorKind;
  readonly status: number;
  readonly subproblems: More['subproblems'];
  readonly retryAfter: More['retryAfter'];
  readonly algorithms: More['algorithms'];
  readonly instance: More['instance'];
  readonly headers: More['headers'];

  /**
   * @param detail one line for people, who read it in the output of their client
   * @param more its `status` only where it is not that of the kind
   */
  constructor(kind: AcmeErrorKind, detail: string, more: More & { status?: number; cause?: unknown } = {}) {
    super(toLine(detail), more.cause === undefined ? undefined : { cause: more.cause });
    this.kind = kind;
    this.status = more.status ?? statuses[kind];
    this.subproblems = more.subproblems;
    this.retryAfter = more.retryAfter;
    this.algorithms = more.algorithms;
    this.instance = more.instance;
    this.headers = more.headers;
  }
}

/** @throws AcmeError `malformed`; `detail` as of an AcmeError */
export function malformed(detail: string): never {
  throw new AcmeError('malformed', detail);
}

/** What a client has said may be in it. */
const toLine = (text: string) => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');

const PREFIX = 'urn:ietf:params:acme:error:';

const toProblemType = (kind: AcmeErrorKind) => `${PREFIX}${kind}`;

/**
 * The problem document (RFC 9457).
 *
 * @param request a URN of it, which is the instance where the error names no page
 */
export function toProblem(error: AcmeError, request?: string) {
  const { kind, status, message, subproblems, algorithms, instance = request } = error;
  return {
    type: toProblemType(kind),
    status,
    detail: message,
    ...(instance !== undefined && { instance }),
    ...(algorithms && { algorithms }),
    ...(subproblems && { subproblems: subproblems.map(toSubproblem) }),
  };
}

const toSubproblem = ({ kind, detail, ...rest }: Subproblem) => ({
  type: toProblemType(kind),
  detail: toLine(detail),
  ...rest,
});

/** What a route has thrown as an ACME client is told it: a bug without its words. */
export function toAcmeError(error: unknown): AcmeError {
  if (error instanceof AcmeError) return error;
  if (error instanceof IssuanceError) return fromIssuanceError(error);
  return fromHttpError(error) ?? new AcmeError('serverInternal', 'internal error', { cause: error });
}

/** The only switch from an error's code to a problem. */
function fromIssuanceError(error: IssuanceError): AcmeError {
  const { code, message, retryAfter, problem } = error;
  const more = { retryAfter, cause: error };
  switch (code) {
    case 'badCsr':
      return new AcmeError('badCSR', message, more);
    case 'denied':
      return new AcmeError(ofCa(problem, ['rejectedIdentifier', 'caa']) ?? 'unauthorized', message, more);
    case 'challengeFailed':
      return new AcmeError(ofCa(problem, lookKinds) ?? 'incorrectResponse', message, more);
    case 'rateLimited':
      return new AcmeError('rateLimited', message, more);
    case 'unavailable':
    case 'gone':
      return new AcmeError('serverInternal', message, { ...more, status: 503 });
    case 'unknown':
      return new AcmeError('malformed', message, { ...more, status: 404 });
    case 'misconfigured':
    case 'unexpected':
      return new AcmeError('serverInternal', message, more);
  }
}

/** What a CA may have found where it looked for a proof. */
const lookKinds = ['caa', 'connection', 'dns', 'incorrectResponse', 'tls', 'unauthorized'] as const;

function ofCa<Kind extends AcmeErrorKind>(
  problem: Problem | undefined,
  kinds: readonly Kind[],
): Kind | undefined {
  return kinds.find(kind => problem?.type === toProblemType(kind));
}

/** As `ctx.throw` makes it. */
type HttpError = Error & { statusCode: number; expose: true; headers?: Record<string, string> };

function fromHttpError(error: unknown): AcmeError | undefined {
  if (!(error instanceof Error) || !('expose' in error) || error.expose !== true) return undefined;
  const { statusCode: status, message, headers } = error as HttpError;
  const kind = status === 403 ? 'unauthorized' : 'malformed';
  return new AcmeError(kind, message, { status, ...(headers && { headers }) });
}
