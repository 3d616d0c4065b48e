import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import { parseProblem } from './objects.ts';
import { describeAnswer } from './words.ts';

/** The short one is of the drafts before RFC 8555. */
const namespace = /^urn:(ietf:params:)?acme:error:/;

/** What each error type of RFC 8555 section 6.7 asks of us when a *request* is answered with it. */
const reactions: Record<string, IssuanceErrorCode> = {
  rateLimited: 'rateLimited',
  rejectedIdentifier: 'denied',
  unsupportedIdentifier: 'denied',
  caa: 'denied',
  badCSR: 'badCsr',
  badPublicKey: 'badCsr',
  accountDoesNotExist: 'gone',
  serverInternal: 'unavailable',
  badNonce: 'unavailable',
  externalAccountRequired: 'misconfigured',
  userActionRequired: 'misconfigured',
  unauthorized: 'misconfigured',
  invalidContact: 'misconfigured',
  unsupportedContact: 'misconfigured',
  badSignatureAlgorithm: 'misconfigured',
  invalidProfile: 'misconfigured',
};

/** The part of a problem's type after `urn:ietf:params:acme:error:`, or `''` for other namespaces. */
export function problemKind(problem: Problem | undefined): string {
  return problem && namespace.test(problem.type) ? problem.type.replace(namespace, '') : '';
}

/** Turns the failed answer to a request into the reaction that it asks for. */
export function toIssuanceError(
  answer: {
    status: number;
    headers?: Record<string, string | undefined>;
    data: unknown;
    retryAfter?: number | undefined;
  },
  what: string,
): IssuanceError {
  const problem = parseProblem(answer.data);
  const said = problem?.detail ?? (problemKind(problem) || describeAnswer(answer));
  const options = { problem, retryAfter: answer.retryAfter };
  return new IssuanceError(toCode(answer.status, problem), `${what}: ${said}`, options);
}

/** The same for a problem that is part of an object, such as the error of an order that is invalid. */
export const reactionTo = (problem: Problem | undefined): IssuanceErrorCode =>
  toCode(problem?.status ?? 0, problem);

function toCode(status: number, problem: Problem | undefined): IssuanceErrorCode {
  if (refusesKid(problem)) return 'gone';
  const kinds = [problemKind(problem), ...(problem?.subproblems ?? []).map(problemKind)];
  if (status === 429 || kinds.includes('rateLimited')) return 'rateLimited';
  const known = kinds.map(kind => reactions[kind]).find(code => code !== undefined);
  if (known) return known;
  if (status === 404) return 'gone';
  return status >= 500 ? 'unavailable' : 'unexpected';
}

/**
 * Whether the CA knows no such account, under the URL that the request named as `kid` (RFC 8555 section 6.2);
 * of other things it says that they are gone with another problem.
 */
export const saysAccountIsGone = (error: unknown): boolean =>
  error instanceof IssuanceError && refusesKid(error.problem);

/** As a word of the CA, and not in a name such as `kid.example.org` that a client has chosen. */
const KID = /(?<![\w.-])(kid|key ?id)(?![\w-]|\.\w)/i;

/** Boulder and step-ca call an account URL that is not theirs malformed or unauthorized. */
function refusesKid(problem: Problem | undefined): boolean {
  const kind = problemKind(problem);
  if (kind === 'accountDoesNotExist') return true;
  return ['malformed', 'unauthorized'].includes(kind) && KID.test(problem?.detail ?? '');
}

/** A failure of these kinds blames what came with the CSR; a rate limit stays one in any problem. */
export function toCsrFault(error: unknown, kinds: string[]): unknown {
  if (!(error instanceof IssuanceError) || saysAccountIsGone(error)) return error;
  if (['rateLimited', 'unavailable'].includes(error.code)) return error;
  const { message, problem } = error;
  return kinds.includes(problemKind(problem))
    ? new IssuanceError('badCsr', message, { cause: error, problem })
    : error;
}

/**
 * Whether the CA refuses the CSR itself, and will do so again: `malformed` and `unauthorized` in answer to
 * one may also be said of the order or of the account.
 */
export function refusesCsr(error: unknown): boolean {
  if (!(error instanceof IssuanceError) || error.code !== 'badCsr') return false;
  const { problem } = error;
  return [problem, ...(problem?.subproblems ?? [])].some(one => reactions[problemKind(one)] === 'badCsr');
}

/** What a validation may find (RFC 8555 section 6.7). */
const validationFaults = new Set(['connection', 'dns', 'incorrectResponse', 'tls', 'unauthorized']);

/** Some CAs validate at once, and answer to the challenge's request what was wrong. */
export function toChallengeFault(error: unknown, identifier: Identifier): unknown {
  if (!(error instanceof IssuanceError) || !validationFaults.has(problemKind(error.problem))) return error;
  const { detail, type = '' } = error.problem ?? {};
  const problem = { ...error.problem, type, identifier };
  const line = `${identifier.value}: ${detail ?? problemKind(problem)}`;
  return new IssuanceError('challengeFailed', line, { cause: error, problem });
}
