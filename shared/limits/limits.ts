import { hash } from 'node:crypto';
import { getDomain } from 'tldts';
import { type Clock, IssuanceError, type IssuanceErrorCode, type Problem } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Store } from '../base/redis.ts';
import { afterFailure, type FailureHistory } from './failure-backoff.ts';

const HISTORY_LIFE = 2 * 24 * 3_600_000;

/** One entry of what is parked, as an operator sees it. */
export type Limit = {
  key: string;
  /** Milliseconds since the epoch; absent where only an operator can end it. */
  until?: number | undefined;
  detail: string;
  /** The names of the order that ran into it. */
  names: string[];
};

/** A limit that is known from before: the CA was not asked. */
export class StandingLimitError extends IssuanceError {}

/** Limits that a CA has answered with, and names that failed too often; the whole fleet knows them. */
export type Limits = {
  /**
   * Why names cannot be ordered now, with what is left to wait: `rateLimited`, `challengeFailed`, or
   * `unavailable` where the CA asked all clients to wait for a moment.
   */
  standingAgainst(identifiers: Identifier[]): Promise<StandingLimitError | undefined>;
  /**
   * The keys in Redis of what may stand against names, for a caller that reads more in the same round trip.
   */
  keysAgainst(identifiers: Identifier[]): string[];
  /** The same as `standingAgainst`, from the values of those keys. */
  findStanding(values: readonly (string | null)[]): StandingLimitError | undefined;
  /** The key in Redis of these names' failures; a success deletes it. */
  failuresKey(identifiers: Identifier[]): string;
  /** Remembers a `rateLimited` error, or an `unavailable` one with a Retry-After, for all that it covers. */
  park(identifiers: Identifier[], error: IssuanceError): Promise<Limit[]>;
  /**
   * Remembers a `challengeFailed` error.
   *
   * @returns when the same names may be tried again, in milliseconds since the epoch; `undefined`: at once
   */
  recordFailure(identifiers: Identifier[], error: IssuanceError): Promise<number | undefined>;
  /** Forgets the failures of these names. */
  recordSuccess(identifiers: Identifier[]): Promise<void>;
};

export type Parked = {
  code: IssuanceErrorCode;
  until?: number;
  detail: string;
  names: string[];
  problem?: Problem;
};
type Failed = FailureHistory & Omit<Parked, 'until'>;

export const parkedKey = ({ prefix }: Pick<Store, 'prefix'>, key: string) => `${prefix}:limit:${key}`;
const namesOf = (identifiers: Identifier[]) => identifiers.map(({ value }) => value);

export function openLimits(store: Store, scope: LimitScope, clock: Clock): Limits {
  const { redis } = store;
  const failedKey = (identifiers: Identifier[]) => parkedKey(store, failuresKey(identifiers));

  async function write(key: string, value: Parked | Failed, until: number | undefined): Promise<void> {
    const text = JSON.stringify(value);
    if (until === undefined) await redis.set(key, text);
    else await redis.set(key, text, 'PXAT', Math.ceil(Math.max(until, clock.now() + 1)));
  }

  const keysAgainst = (identifiers: Identifier[]) => [
    failedKey(identifiers),
    ...keysOf(identifiers, scope).map(key => parkedKey(store, key)),
  ];

  return {
    standingAgainst: async identifiers =>
      findStanding(await redis.mget(keysAgainst(identifiers)), clock.now()),
    keysAgainst,
    findStanding: values => findStanding(values, clock.now()),
    failuresKey: failedKey,
    async park(identifiers, error) {
      const { keys, until } = readRateLimit(identifiers, scope, error, clock.now());
      const limit: Parked = { code: error.code, detail: error.message, names: namesOf(identifiers) };
      if (until !== undefined) limit.until = until;
      if (error.problem) limit.problem = error.problem;
      for (const key of keys) await write(parkedKey(store, key), limit, until);
      return keys.map(key => ({ key, until, detail: limit.detail, names: limit.names }));
    },
    async recordFailure(identifiers, error) {
      const text = await redis.get(failedKey(identifiers));
      const now = clock.now();
      const history = afterFailure(text ? (JSON.parse(text) as Failed) : undefined, now, Math.random());
      const { code, message, problem } = error;
      const failed: Failed = { ...history, code, detail: message, names: namesOf(identifiers) };
      if (problem) failed.problem = problem;
      await write(failedKey(identifiers), failed, history.until + HISTORY_LIFE);
      return history.until > now ? history.until : undefined;
    },
    recordSuccess: async identifiers => {
      await redis.del(failedKey(identifiers));
    },
  };
}

/** All keys whose limits an order has to respect. */
function keysOf(identifiers: Identifier[], scope: LimitScope): string[] {
  return [
    accountKey(scope),
    setKey(identifiers, scope),
    ...registeredDomains(identifiers).map(domain => domainKey(domain, scope)),
    ...identifiers.map(({ value }) => nameKey(value, scope)),
  ];
}

function findStanding(
  [failed, ...parked]: readonly (string | null)[],
  now: number,
): StandingLimitError | undefined {
  const limits = parked.filter(text => text !== null).map(text => JSON.parse(text) as Parked);
  const last = limits.sort((a, b) => (b.until ?? Infinity) - (a.until ?? Infinity))[0];
  if (last && (last.until ?? Infinity) > now) return toError(last, last.until);
  const history = failed ? (JSON.parse(failed) as Failed) : undefined;
  return history && history.until > now ? toError(history, history.until) : undefined;
}

function toError({ code, detail, problem }: Omit<Parked, 'until'>, until: number | undefined) {
  return new StandingLimitError(code, detail, { retryAfter: until, problem });
}

/**
 * Whose limits an order comes under. A CA counts orders by account, and certificates and failures over all
 * accounts: so two accounts at one CA share the latter.
 */
export type LimitScope = {
  /** The name of the account in the configuration. */
  account: string;
  /** `caOf` of its CA's directory. */
  ca: string;
};

/** A short name of a CA for keys, from the URL of its directory: `acme-v02.api.letsencrypt.org`. */
export function caOf(directoryUrl: string): string {
  const { host, pathname } = new URL(directoryUrl);
  return host + pathname.replace(/\/(directory|dir)?$/, '');
}

// Readable keys of what limits cover; an operator sees them and types them.

export const accountKey = ({ account }: LimitScope) => `account/${account}`;
export const domainKey = (domain: string, { ca }: LimitScope) => `domain/${domain}@${ca}`;
export const nameKey = (name: string, { ca }: LimitScope) => `name/${name}@${ca}`;
export const setKey = (identifiers: Identifier[], { ca }: LimitScope) =>
  `set/${setDigest(identifiers)}@${ca}`;
/** Quarry's own backoff, which is about the names and not about a CA. */
export const failuresKey = (identifiers: Identifier[]) => `failures/${setDigest(identifiers)}`;

/** An order asks for its own several times. */
const digests = new WeakMap<Identifier[], string>();

/** The exact set of identifiers, in whatever order they were asked for; the list stays as it is. */
function setDigest(identifiers: Identifier[]): string {
  const known = digests.get(identifiers);
  if (known) return known;
  const names = identifiers.map(({ type, value }) => `${type}:${value}`).sort();
  const digest = hash('sha256', names.join('\n')).slice(0, 16);
  digests.set(identifiers, digest);
  return digest;
}

/**
 * The registered domain by the Public Suffix List, its private part included, as Let's Encrypt counts; an
 * address counts for itself.
 */
function registeredDomain({ type, value }: Identifier): string {
  if (type === 'ip') return value;
  const name = value.replace(/^\*\./, '');
  return getDomain(name, { allowPrivateDomains: true }) ?? name;
}

export const registeredDomains = (identifiers: Identifier[]) => [
  ...new Set(identifiers.map(registeredDomain)),
];

const UNTOLD = 3_600_000;

/** What a rate limit covers, and until when (milliseconds since the epoch; `undefined`: a person acts). */
type RateLimit = { keys: string[]; until: number | undefined };

/**
 * Reads a rate limit out of what the CA said. RFC 8555 has no field for what a limit covers, so that the
 * texts of Boulder (Let's Encrypt) are read; of a text that is not known, the whole account is taken to be
 * meant.
 */
export function readRateLimit(
  identifiers: Identifier[],
  scope: LimitScope,
  error: IssuanceError,
  now: number,
): RateLimit {
  // A load balancer knows of no accounts: it asks this fleet to wait, which has one account there as a rule.
  if (error.code === 'unavailable') return { keys: [accountKey(scope)], until: error.retryAfter ?? now };
  const limited = (error.problem?.subproblems ?? []).filter(({ type }) => type.endsWith(':rateLimited'));
  const keys =
    limited.length > 0
      ? limited.flatMap(one => keysOfProblem(identifiers, scope, one))
      : keysOfProblem(identifiers, scope, error.problem);
  return { keys: [...new Set(keys)], until: readEnd(error, now) };
}

function keysOfProblem(identifiers: Identifier[], scope: LimitScope, problem: Problem | undefined): string[] {
  const said = problem?.detail ?? '';
  if (problem?.identifier) return [nameKey(problem.identifier.value, scope)];
  if (/exact set of (identifiers|domains)/.test(said)) return [setKey(identifiers, scope)];
  const named = identifiers.filter(({ value }) => mentions(said, value.replace(/^\*\./, '')));
  if (/failed authorizations|paused|temporarily prevented/.test(said) && named.length > 0) {
    return named.map(({ value }) => nameKey(value, scope));
  }
  const domains = registeredDomains(identifiers).filter(domain => mentions(said, domain));
  if (/certificates/.test(said) && domains.length > 0) {
    return domains.map(domain => domainKey(domain, scope));
  }
  return [accountKey(scope)];
}

/** A name as a whole: `example.org` is not mentioned by `www.example.org`. */
function mentions(text: string, name: string): boolean {
  return text
    .toLowerCase()
    .split(/[^a-z0-9.:*-]+/)
    .some(word => word.replace(/[.,:]+$/, '') === name);
}

function readEnd(error: IssuanceError, now: number): number | undefined {
  if (error.retryAfter !== undefined) return error.retryAfter;
  const said = error.problem?.detail ?? '';
  const time = /retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:UTC|Z)/i.exec(said);
  if (time) return Math.max(Date.parse(`${time[1]}T${time[2]}Z`), now);
  // Let's Encrypt pauses names of accounts that fail on and on; only a person at its portal can end that.
  if (/https:\/\/\S+/.test(said) && /paused|prevented|portal|unpause/i.test(said)) return undefined;
  return now + UNTOLD;
}
