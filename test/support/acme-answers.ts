import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Answer } from './ask.ts';

// What RFC 8555 demands of every answer of an ACME server, and of each object in one. Each check throws.

export type AcmeIdentifier = { type: string; value: string };

export type Problem = {
  type: string;
  detail?: string;
  status?: number;
  identifier?: AcmeIdentifier;
  subproblems?: Problem[];
  algorithms?: string[];
};

export type AccountObject = {
  status: string;
  contact?: string[];
  orders?: string;
  termsOfServiceAgreed?: boolean;
  externalAccountBinding?: unknown;
};

export type OrderObject = {
  status: string;
  expires?: string;
  identifiers: AcmeIdentifier[];
  authorizations: string[];
  finalize: string;
  certificate?: string;
  error?: Problem;
  profile?: string;
  replaces?: string;
};

export type ChallengeObject = {
  type: string;
  url: string;
  status: string;
  token: string;
  validated?: string;
  error?: Problem;
};

export type AuthorizationObject = {
  status: string;
  identifier: AcmeIdentifier;
  expires?: string;
  challenges: ChallengeObject[];
  wildcard?: boolean;
};

/** RFC 8555 section 6.7, RFC 9773 section 7.4, and draft-ietf-acme-profiles. */
const problemTypes = `accountDoesNotExist alreadyReplaced alreadyRevoked badCSR badNonce badPublicKey
badRevocationReason badSignatureAlgorithm caa compound connection dns externalAccountRequired
incorrectResponse invalidContact invalidProfile malformed orderNotReady rateLimited rejectedIdentifier
serverInternal tls unauthorized unsupportedContact unsupportedIdentifier userActionRequired`.split(/\s+/);

const prefix = 'urn:ietf:params:acme:error:';
const withToken = ['http-01', 'dns-01', 'tls-alpn-01'];
const base64url = /^[\w-]+$/;
/** RFC 3339, as section 5.6 has a date and time. */
const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** The short name of a problem's type, such as `badNonce`. */
export const kindOf = (problem: Problem | undefined): string | undefined =>
  problem?.type.slice(prefix.length);

/** The targets of the `Link` headers with this relation (RFC 8288). */
export function linksOf(answer: Answer, relation: string): string[] {
  const links = [answer.headers.link ?? []].flat().join(', ');
  return [...links.matchAll(/<([^>]*)>\s*;\s*rel="?([\w-]+)"?/g)]
    .filter(([, , rel]) => rel === relation)
    .map(([, target = '']) => target);
}

/** Section 6.5.1: base64url without padding. */
export function checkNonce(answer: Answer): string {
  const nonce = answer.headers['replay-nonce'];
  assert.ok(typeof nonce === 'string', `a Replay-Nonce in ${show(answer)}`);
  assert.match(nonce, base64url);
  return nonce;
}

/** Sections 7.1 and 6.7: of every answer but the directory's own. */
export function checkAnswer(answer: Answer, directoryUrl: string): void {
  assert.deepEqual(linksOf(answer, 'index'), [directoryUrl], `the Link "index" of ${show(answer)}`);
  if (answer.status >= 400) checkProblem(answer);
}

/** Section 6.7 and RFC 7807: an error is a problem document with a type that is registered. */
export function checkProblem(answer: Answer): Problem {
  assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json\b/, show(answer));
  const problem = JSON.parse(answer.body) as Problem;
  checkProblemObject(problem);
  assert.equal(problem.status ?? answer.status, answer.status, 'the status of the problem is the answer’s');
  return problem;
}

function checkProblemObject({ identifier, ...problem }: Problem): void {
  assert.equal(identifier, undefined, 'only a subproblem has an identifier (section 6.7.1)');
  checkFault(problem);
  for (const { identifier: own, ...one } of problem.subproblems ?? []) {
    checkFault(one);
    // Section 6.7.1: there is an identifier if and only if the problem is about one.
    if (own) checkShape(own);
    assert.equal(one.subproblems, undefined, 'subproblems have none of their own');
  }
}

function checkFault({ type, detail }: Problem): void {
  assert.ok(type.startsWith(prefix), `${type} is a type of ACME`);
  assert.ok(problemTypes.includes(type.slice(prefix.length)), `${type} is registered`);
  assert.ok(detail === undefined || (typeof detail === 'string' && detail !== ''), 'a detail is a text');
  if (detail) assert.doesNotMatch(detail, /[\p{Cc}\u2028\u2029]/u, 'a detail is one line');
}

/** An object that a 2xx answers with. */
export function readObject<T>(answer: Answer, statuses: readonly number[] = [200]): T {
  assert.ok(statuses.includes(answer.status), `${statuses.join(' or ')}, not ${show(answer)}`);
  assert.match(answer.headers['content-type'] ?? '', /^application\/json\b/, show(answer));
  return JSON.parse(answer.body) as T;
}

/** Section 7.1.2. */
export function checkAccount(account: AccountObject): void {
  assert.ok(['valid', 'deactivated', 'revoked'].includes(account.status), account.status);
  for (const url of account.contact ?? []) assert.equal(typeof url, 'string');
  if (account.orders !== undefined) assert.ok(URL.canParse(account.orders));
  assert.ok([undefined, true, false].includes(account.termsOfServiceAgreed));
}

/** Sections 7.1.3 and 7.1.6. */
export function checkOrder(order: OrderObject): void {
  assert.ok(['pending', 'ready', 'processing', 'valid', 'invalid'].includes(order.status), order.status);
  if (['pending', 'valid'].includes(order.status))
    assert.ok(order.expires, 'a pending or valid order expires');
  checkTime(order.expires);
  assert.ok(order.identifiers.length > 0);
  order.identifiers.forEach(checkIdentifier);
  for (const url of [...order.authorizations, order.finalize]) assert.ok(URL.canParse(url), url);
  assert.equal(new Set(order.authorizations).size, order.authorizations.length);
  assert.equal(order.certificate !== undefined, order.status === 'valid', 'a valid order has a certificate');
  if (order.status !== 'invalid') assert.equal(order.error, undefined, 'only an invalid order has an error');
  if (order.error) checkProblemObject(order.error);
}

/** Sections 7.1.4 and 7.1.6. */
export function checkAuthorization(authorization: AuthorizationObject): void {
  const { status, identifier, expires, challenges, wildcard } = authorization;
  const statuses = ['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked'];
  assert.ok(statuses.includes(status), status);
  checkIdentifier(identifier);
  assert.ok(!identifier.value.startsWith('*.'), 'an authorization says of a wildcard by its own field');
  assert.ok([undefined, true].includes(wildcard), 'wildcard is true, or is not there');
  if (status === 'valid') assert.ok(expires, 'a valid authorization expires');
  checkTime(expires);
  assert.ok(challenges.length > 0);
  challenges.forEach(checkChallenge);
  assert.equal(new Set(challenges.map(({ url }) => url)).size, challenges.length);
  const valid = challenges.filter(one => one.status === 'valid').length;
  if (status === 'valid') assert.ok(valid > 0, 'of a valid authorization a challenge is valid');
}

/** Sections 7.1.5, 8, and 8.3 for the token: 128 bits of entropy or more, as base64url. */
export function checkChallenge(challenge: ChallengeObject): void {
  assert.equal(typeof challenge.type, 'string');
  assert.ok(URL.canParse(challenge.url), challenge.url);
  assert.ok(['pending', 'processing', 'valid', 'invalid'].includes(challenge.status), challenge.status);
  assert.equal(challenge.validated !== undefined, challenge.status === 'valid');
  checkTime(challenge.validated);
  if (challenge.error) checkProblemObject(challenge.error);
  if (!withToken.includes(challenge.type)) return;
  assert.match(challenge.token, base64url);
  assert.ok(Buffer.from(challenge.token, 'base64url').length >= 16, 'a token has 128 bits');
}

/** Sections 9.7.7 and RFC 8738. */
function checkIdentifier(identifier: AcmeIdentifier): void {
  assert.ok(['dns', 'ip'].includes(identifier.type), identifier.type);
  checkShape(identifier);
}

/** Of one that a client made up, too. */
function checkShape(identifier: AcmeIdentifier): void {
  assert.deepEqual(Object.keys(identifier).sort(), ['type', 'value']);
  assert.equal(typeof identifier.type, 'string');
  assert.equal(typeof identifier.value, 'string');
}

function checkTime(time: string | undefined): void {
  if (time !== undefined) assert.match(time, timestamp);
}

export const isSameSet = (one: readonly AcmeIdentifier[], other: readonly AcmeIdentifier[]): boolean =>
  isDeepStrictEqual(toKeys(one), toKeys(other));

const toKeys = (identifiers: readonly AcmeIdentifier[]) =>
  [...new Set(identifiers.map(({ type, value }) => `${type} ${value}`))].sort();

export const show = ({ status, body, headers }: Answer): string =>
  `${status} ${headers['content-type']}: ${body.slice(0, 500)}`;
