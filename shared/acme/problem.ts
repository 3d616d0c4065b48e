import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/basics.ts';

const NAMESPACE = 'urn:ietf:params:acme:error:';
const LONGEST_DETAIL = 500;
const MOST_SUBPROBLEMS = 100;

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

/**
 * Reads a problem document of a CA, which is hostile input: wrong types are dropped, long texts cut, control characters
 * made blanks, and subproblems have none of their own (RFC 8555 section 6.7.1).
 *
 * @returns `undefined` when it is no problem document at all
 */
export function parseProblem(data: unknown): Problem | undefined {
  const problem = parseOne(data);
  const { subproblems } = (problem ? data : {}) as { subproblems?: unknown };
  if (!problem || !Array.isArray(subproblems)) return problem;
  const below = subproblems.slice(0, MOST_SUBPROBLEMS).map(parseOne);
  return { ...problem, subproblems: below.filter(one => one !== undefined) };
}

function parseOne(data: unknown): Problem | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const { type, detail, status, identifier } = data as Record<string, unknown>;
  if (typeof type !== 'string' && typeof detail !== 'string') return undefined;
  const problem: Problem = { type: typeof type === 'string' ? toLine(type) : 'about:blank' };
  if (typeof detail === 'string') problem.detail = toLine(detail);
  if (typeof status === 'number') problem.status = status;
  const name = parseIdentifier(identifier);
  if (name) problem.identifier = name;
  return problem;
}

/** The part of a problem's type after `urn:ietf:params:acme:error:`, or `''` for other namespaces. */
export function problemKind(problem: Problem | undefined): string {
  return problem?.type.startsWith(NAMESPACE) ? problem.type.slice(NAMESPACE.length) : '';
}

/** Turns the failed answer to a request into the reaction that it asks for. */
export function toIssuanceError(
  answer: { status: number; data: unknown; retryAfter?: number | undefined },
  what: string,
): IssuanceError {
  const problem = parseProblem(answer.data);
  const said = problem?.detail ?? (problemKind(problem) || `status ${answer.status}`);
  const options = { problem, retryAfter: answer.retryAfter };
  return new IssuanceError(toCode(answer.status, problem), `${what}: ${said}`, options);
}

function toCode(status: number, problem: Problem | undefined): IssuanceErrorCode {
  const kinds = [problemKind(problem), ...(problem?.subproblems ?? []).map(problemKind)];
  if (status === 429 || kinds.includes('rateLimited')) return 'rateLimited';
  const known = kinds.map(kind => reactions[kind]).find(code => code !== undefined);
  if (known) return known;
  if (status === 404) return 'gone';
  return status >= 500 ? 'unavailable' : 'unexpected';
}

function parseIdentifier(value: unknown): Problem['identifier'] {
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, value: name } = value as Record<string, unknown>;
  return typeof type === 'string' && typeof name === 'string'
    ? { type: toLine(type), value: toLine(name) }
    : undefined;
}

function toLine(text: string): string {
  return text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, LONGEST_DETAIL);
}

/** Whether the CA knows no such account any more; of other things it says that they are gone with another problem. */
export const saysAccountIsGone = (error: unknown): boolean =>
  error instanceof IssuanceError && problemKind(error.problem) === 'accountDoesNotExist';

const LONGEST_WAIT = 14 * 24 * 3_600_000;

/** The three forms of RFC 9110 section 5.6.7. Date.parse alone would read `-5` and `1.5` as dates too. */
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w -]+ \d\d:\d\d:\d\d( GMT| \d{4})$/;

/**
 * Reads a Retry-After header in either of its forms (RFC 9110 section 10.2.3): seconds or an HTTP date.
 *
 * @param now milliseconds since the epoch
 * @returns milliseconds since the epoch, never before `now` and never more than two weeks away; `undefined` when absent
 *   or unreadable
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim();
  if (!text) return undefined;
  const at = /^\d+$/.test(text) ? now + Number(text) * 1_000 : parseDate(text);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(at, now), now + LONGEST_WAIT);
}

/** The oldest form names no zone, but is in GMT as the others are. */
function parseDate(text: string): number {
  if (!httpDate.test(text)) return Number.NaN;
  return Date.parse(text.endsWith(' GMT') ? text : `${text} GMT`);
}
