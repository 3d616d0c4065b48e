import { IssuanceError, type Problem } from '../base/basics.ts';
import { type Identifier, isDomainName } from '../base/identifier.ts';
import { toLine } from './words.ts';

// A CA's objects, which are hostile input: what is wrong in them is an IssuanceError `unexpected`.

/** An answer of the CA: header names in lower case, JSON read, else the text. */
export type HttpAnswer = { status: number; headers: Record<string, string | undefined>; data: unknown };

/** RFC 8555 section 7.1.3. */
export type AcmeOrder = {
  url: string;
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  authorizations: string[];
  finalize: string;
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

/** @param now milliseconds since the epoch */
export function toOrder({ data, headers }: HttpAnswer, url: string, now: number): AcmeOrder {
  const order = object(data, 'an order');
  const status = orderStates.find(state => state === order.status);
  if (!status || !Array.isArray(order.authorizations)) throw unexpected('an order');
  return {
    url,
    status,
    authorizations: order.authorizations.map(one => text(one, 'an authorization URL')),
    finalize: text(order.finalize, 'a finalize URL'),
    certificate: typeof order.certificate === 'string' ? order.certificate : undefined,
    error: parseProblem(order.error),
    retryAfter: parseRetryAfter(headers['retry-after'], now),
  };
}

export function toAuthorization({ data }: HttpAnswer, url: string): AcmeAuthorization {
  const authorization = object(data, 'an authorization');
  const identifier = object(authorization.identifier, 'an identifier');
  if (!Array.isArray(authorization.challenges)) throw unexpected('an authorization');
  return {
    url,
    status: text(authorization.status, 'an authorization status'),
    identifier: {
      type: identifier.type === 'ip' ? 'ip' : 'dns',
      value: text(identifier.value, 'an identifier'),
    },
    wildcard: authorization.wildcard === true,
    challenges: authorization.challenges.map(toChallenge),
  };
}

function toChallenge(data: unknown): AcmeChallenge {
  const { type, url, status, token, error, accounturi, ...more } = object(data, 'a challenge');
  const issuerDomainNames = toIssuerDomainNames(more['issuer-domain-names']);
  return {
    type: text(type, 'a challenge type'),
    url: text(url, 'a challenge URL'),
    status: text(status, 'a challenge status'),
    // A hostile token is as good as none.
    token: typeof token === 'string' && tokenPattern.test(token) ? token : '',
    error: parseProblem(error),
    ...(issuerDomainNames && { issuerDomainNames }),
    ...(typeof accounturi === 'string' && accountUri.test(accounturi) && { accountUrl: accounturi }),
  };
}

/** Those of a challenge that breaks the draft's rules are as good as none. */
function toIssuerDomainNames(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > 10) return undefined;
  return value.every(name => typeof name === 'string' && isDomainName(name)) ? value : undefined;
}

/** As it can stand in a record: printable, without what would end it there. */
const accountUri = /^https?:\/\/[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]{1,2000}$/;

function object(value: unknown, what: string): Record<string, unknown> {
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
