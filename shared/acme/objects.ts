import { IssuanceError, type Problem } from '../base/errors.ts';
import { type Identifier, isDomainName } from '../base/identifier.ts';
import { describeAnswer, toLine } from './words.ts';

// A CA's objects, which are hostile input: what is wrong in them is an IssuanceError `unexpected`.

/** The CA's answer at a URL: header names in lower case, JSON read, else the text, which may be empty. */
export type HttpAnswer = {
  url: string;
  status: number;
  headers: Record<string, string | undefined>;
  data: unknown;
};

/** RFC 8555 section 6.5.1: base64url, and nothing else may be used. */
export function nonceOf({ headers }: HttpAnswer): string | undefined {
  const nonce = headers['replay-nonce'];
  return nonce && /^[\w-]{1,512}$/.test(nonce) ? nonce : undefined;
}

/** RFC 8555 section 7.1.3. */
export type AcmeOrder = {
  url: string;
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  /** Empty where the CA names none, as of an order that is ready. */
  authorizations: string[];
  /** Some CAs name it once the order is ready. */
  finalize?: string | undefined;
  certificate?: string | undefined;
  error?: Problem | undefined;
  /** When the CA wants to be asked again, in milliseconds since the epoch. */
  retryAfter?: number | undefined;
};

/** RFC 8555 section 7.1.4. `identifier.value` of a wildcard comes without its `*.`. */
export type AcmeAuthorization = {
  url: string;
  status: string;
  identifier: Identifier;
  wildcard: boolean;
  challenges: AcmeChallenge[];
};

/** RFC 8555 section 7.1.5. */
export type AcmeChallenge = {
  type: string;
  url: string;
  status: string;
  /** Empty where the kind of challenge has none. */
  token: string;
  error?: Problem | undefined;
  /**
   * Of dns-persist-01: what the CA calls itself, one to ten names (draft-ietf-acme-dns-persist-01 section
   * 3.1).
   */
  issuerDomainNames?: string[];
  /** Of dns-persist-01: the account's URL, as the CA wants to read it, where it says so. */
  accountUrl?: string;
};

const orderStates = ['pending', 'ready', 'processing', 'valid', 'invalid'] as const;

/**
 * CAs leave out what is of no use in the order's state: what is missing is missed where it is needed.
 *
 * @param url of the order
 * @param now milliseconds since the epoch
 */
export function toOrder(answer: HttpAnswer, url: string, now: number): AcmeOrder {
  const order = object(answer, 'an order');
  const word = toState(order.status);
  const status = orderStates.find(state => state === word);
  if (!status) throw unexpected('an order');
  const { authorizations, finalize, certificate } = order;
  const isListed = Array.isArray(authorizations);
  if (!isListed && status === 'pending') throw unexpected('the authorizations of an order');
  return {
    url,
    status,
    authorizations: isListed
      ? authorizations.map(one => resolveUrl(text(one, 'an authorization URL'), answer))
      : [],
    finalize: isUrl(finalize) ? resolveUrl(finalize, answer) : undefined,
    certificate: isUrl(certificate) ? resolveUrl(certificate, answer) : undefined,
    error: parseProblem(order.error),
    retryAfter: parseRetryAfter(answer.headers['retry-after'], now),
  };
}

export function toAuthorization(answer: HttpAnswer, url: string): AcmeAuthorization {
  const authorization = object(answer, 'an authorization');
  const status = text(toState(authorization.status), 'an authorization status');
  const isListed = Array.isArray(authorization.challenges);
  if (!isListed && status === 'pending') throw unexpected('the challenges of an authorization');
  const challenges = isListed ? (authorization.challenges as unknown[]) : [];
  return {
    url,
    status,
    ...toName(members(authorization.identifier, 'an identifier'), authorization.wildcard),
    challenges: challenges.flatMap(one => toChallenge(one, answer)),
  };
}

/** Some CAs leave the `*.` where it was ordered. */
function toName(
  { type, value }: Record<string, unknown>,
  wildcard: unknown,
): Pick<AcmeAuthorization, 'identifier' | 'wildcard'> {
  const name = text(value, 'an identifier');
  const isIp = typeof type === 'string' && type.toLowerCase() === 'ip';
  return {
    identifier: { type: isIp ? 'ip' : 'dns', value: name.replace(/^\*\./, '').toLowerCase() },
    wildcard: wildcard === true || name.startsWith('*.'),
  };
}

/** @returns none for a challenge that nobody could answer, of whatever type it is */
function toChallenge(data: unknown, answer: HttpAnswer): AcmeChallenge[] {
  if (typeof data !== 'object' || data === null) return [];
  const { type, url, status, token, error, accounturi, ...more } = data as Record<string, unknown>;
  if (typeof type !== 'string' || !isUrl(url)) return [];
  const issuerDomainNames = toIssuerDomainNames(more['issuer-domain-names']);
  const challenge: AcmeChallenge = {
    type: type.toLowerCase(),
    url: resolveUrl(url, answer),
    status: toState(status) ?? 'pending',
    // A hostile token is as good as none.
    token: typeof token === 'string' && tokenPattern.test(token) ? token : '',
    error: parseProblem(error),
    ...(issuerDomainNames && { issuerDomainNames }),
    ...(typeof accounturi === 'string' && accountUri.test(accounturi) && { accountUrl: accounturi }),
  };
  return [challenge];
}

/** Those of a challenge that breaks the draft's rules are as good as none. */
function toIssuerDomainNames(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > 10) return undefined;
  return value.every(name => typeof name === 'string' && isDomainName(name)) ? value : undefined;
}

/** As it can stand in a record: printable, without what would end it there. */
const accountUri = /^https?:\/\/[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]{1,2000}$/;

const toState = (value: unknown) => (typeof value === 'string' ? value.toLowerCase() : undefined);

const isUrl = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** What an answer names, by the URL that was asked: not all CAs write absolute ones. */
export function resolveUrl(named: string, { url }: Pick<HttpAnswer, 'url'>): string {
  return /^https?:\/\//.test(named) ? named : (URL.parse(named, url)?.href ?? named);
}

/** @throws IssuanceError that says what else the answer holds */
export function object(answer: HttpAnswer, what: string): Record<string, unknown> {
  if (typeof answer.data === 'string') throw unexpected(`${what}: ${describeAnswer(answer)}`);
  return members(answer.data, what);
}

function members(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw unexpected(what);
  return value as Record<string, unknown>;
}

export function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw unexpected(what);
  return value;
}

const unexpected = (what: string) => new IssuanceError('unexpected', `the CA's answer lacks ${what}`);

/**
 * What a challenge's token may look like: base64url with at least 128 bits of entropy (RFC 8555 section 8.3),
 * and of a sane length, as it becomes a key and a path.
 */
export const tokenPattern = /^[\w-]{16,512}$/;

const MOST_SUBPROBLEMS = 100;

/**
 * Reads a problem document of a CA, which is hostile input: wrong types are dropped, long texts cut, control
 * characters made blanks, and subproblems have none of their own (RFC 8555 section 6.7.1).
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

function parseIdentifier(value: unknown): Problem['identifier'] {
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, value: name } = value as Record<string, unknown>;
  return typeof type === 'string' && typeof name === 'string'
    ? { type: toLine(type), value: toLine(name) }
    : undefined;
}

const LONGEST_WAIT = 14 * 24 * 3_600_000;

/** The three forms of RFC 9110 section 5.6.7. Date.parse alone would read `-5` and `1.5` as dates too. */
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w -]+ \d\d:\d\d:\d\d( GMT| \d{4})$/;

/**
 * Reads a Retry-After header in either of its forms (RFC 9110 section 10.2.3): seconds or an HTTP date.
 *
 * @param now milliseconds since the epoch
 * @returns milliseconds since the epoch, never before `now` and never more than two weeks away; `undefined`
 *   when absent or unreadable
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

/** @throws IssuanceError `unavailable` where JSON broke off; no content is no content, whatever its type */
export function parseBody(contentType: string | undefined, text: string): unknown {
  if (text === '' || !/^application\/(\w+\+)?json\b/i.test(contentType ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new IssuanceError('unavailable', 'the CA answered with damaged JSON', { cause: error });
  }
}
