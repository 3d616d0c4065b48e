import { hash } from 'node:crypto';
import { getDomain } from 'tldts';
import type { Clock, IssuanceError } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Store } from '../base/redis.ts';
import { afterFailure } from './failure-backoff.ts';
import { type Cover, readRateLimit } from './read-rate-limit.ts';
import {
  type Failed,
  type KeptOrder,
  keptOrder,
  type Parked,
  parseFailed,
  type StandingLimitError,
  standingOf,
} from './standing-limit.ts';

export { StandingLimitError } from './standing-limit.ts';

const DAY = 24 * 3_600_000;
const HISTORY_LIFE = 2 * DAY;
const REFUSAL_LIFE = DAY;
const ORDER_LIFE = 7 * DAY;

/** One entry of what is parked, as an operator sees it. */
export type Limit = {
  key: string;
  /** Milliseconds since the epoch; absent where only an operator can end it. */
  until?: number | undefined;
  detail: string;
  /** The names of the order that ran into it. */
  names: string[];
};

/** Limits that a CA has answered with, and names that failed too often; the whole fleet knows them. */
export type Limits = {
  /**
   * Why names cannot be ordered now, with what is left to wait: `rateLimited`, `challengeFailed`, or
   * `unavailable` where the CA asked all clients to wait for a moment; `badCsr` where it has refused the CSR;
   * `denied` where the key is blocked.
   *
   * @param csr digest of the CSR, where there is one
   * @param publicKey the `keyDigest` of the key that the certificate would be for
   */
  standingAgainst(
    identifiers: Identifier[],
    csr?: string,
    publicKey?: string,
  ): Promise<StandingLimitError | undefined>;
  /**
   * The keys in Redis of what may stand against names, for a caller that reads more in the same round trip.
   */
  keysAgainst(identifiers: Identifier[], csr?: string, publicKey?: string): string[];
  /** The same as `standingAgainst`, from those keys and their values. */
  findStanding(keys: readonly string[], values: readonly (string | null)[]): StandingLimitError | undefined;
  /** The order of an earlier job for the same CSR by this account, from those keys and their values. */
  findKept(keys: readonly string[], values: readonly (string | null)[]): KeptOrder | undefined;
  /** The key in Redis that blocks a public key. @param publicKey its `keyDigest` */
  blockedKey(publicKey: string): string;
  /** The key in Redis of these names' failures; a success deletes it. */
  failuresKey(identifiers: Identifier[]): string;
  /** The key in Redis of what is known of a CSR; another end of its order deletes it. */
  csrKey(csr: string): string;
  /** Remembers a `rateLimited` error, or an `unavailable` one with a Retry-After, for all that it covers. */
  park(identifiers: Identifier[], error: IssuanceError): Promise<Limit[]>;
  /**
   * Remembers a `challengeFailed` error.
   *
   * @returns when the same names may be tried again, in milliseconds since the epoch; `undefined`: at once
   */
  recordFailure(identifiers: Identifier[], error: IssuanceError): Promise<number | undefined>;
  /**
   * Remembers by a CSR's digest that the CA has refused it, for a day; or an order that is still under way,
   * for a week after the time at which the CA wants to be asked again.
   */
  rememberCsr(csr: string, identifiers: Identifier[], error: IssuanceError, order?: KeptOrder): Promise<void>;
  /** Forgets the failures of these names. */
  recordSuccess(identifiers: Identifier[]): Promise<void>;
};

/** Where Redis has why a key is blocked, until an operator unblocks it. @param publicKey its `keyDigest` */
export const blockedKey = ({ prefix }: Pick<Store, 'prefix'>, publicKey: string) =>
  `${prefix}:blocked-key:${publicKey}`;

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

  /**
   * Whether another set of names has met, and still meets, a limit whose words say nothing of what it covers.
   */
  async function anotherHasMet(identifiers: Identifier[], until: number | undefined): Promise<boolean> {
    const key = `${store.prefix}:limit-met:${accountKey(scope)}`;
    const own = setDigest(identifiers);
    const end = Math.ceil(Math.max(until ?? 0, clock.now() + 1));
    if ((await redis.set(key, own, 'PXAT', end, 'NX')) !== null) return false;
    return (await redis.get(key)) !== own;
  }

  const csrKey = (csr: string) => parkedKey(store, `csr/${csr.slice(0, 16)}@${scope.ca}`);
  const keysAgainst = (identifiers: Identifier[], csr?: string, publicKey?: string) => [
    ...(publicKey === undefined ? [] : [blockedKey(store, publicKey)]),
    failedKey(identifiers),
    ...keysOf(identifiers, scope).map(key => parkedKey(store, key)),
    ...(csr === undefined ? [] : [csrKey(csr)]),
  ];

  const findStanding = (keys: readonly string[], values: readonly (string | null)[]) => {
    const found = foundAt(keys, values);
    return found.length === 0 ? undefined : standingOf(found, clock.now());
  };

  return {
    async standingAgainst(identifiers, csr, publicKey) {
      const keys = keysAgainst(identifiers, csr, publicKey);
      return findStanding(keys, await redis.mget(keys));
    },
    keysAgainst,
    findStanding,
    findKept(keys, values) {
      const found = foundAt(keys, values);
      return found.length === 0 ? undefined : keptOrder(found, scope.account);
    },
    blockedKey: publicKey => blockedKey(store, publicKey),
    failuresKey: failedKey,
    csrKey,
    async park(identifiers, error) {
      const { covers, until } = readRateLimit(
        identifiers,
        registeredDomains(identifiers),
        error,
        clock.now(),
      );
      const isWide = covers.includes('unsaid') && (await anotherHasMet(identifiers, until));
      const keys = [...new Set(covers.map(cover => toKey(cover, identifiers, scope, isWide)))];
      const limit: Parked = { code: error.code, detail: error.message, names: namesOf(identifiers) };
      if (until !== undefined) limit.until = until;
      if (error.problem) limit.problem = error.problem;
      for (const key of keys) await write(parkedKey(store, key), limit, until);
      return keys.map(key => ({ key, until, detail: limit.detail, names: limit.names }));
    },
    async recordFailure(identifiers, error) {
      const key = failedKey(identifiers);
      const text = await redis.get(key);
      const now = clock.now();
      const history = afterFailure(text ? parseFailed({ key, text }) : undefined, now, Math.random());
      const { code, message, problem } = error;
      const failed: Failed = { ...history, code, detail: message, names: namesOf(identifiers) };
      if (problem) failed.problem = problem;
      await write(key, failed, history.until + HISTORY_LIFE);
      return history.until > now ? history.until : undefined;
    },
    async rememberCsr(csr, identifiers, { code, message: detail, problem, retryAfter = 0 }, order) {
      const until = order ? Math.max(retryAfter, clock.now()) + ORDER_LIFE : clock.now() + REFUSAL_LIFE;
      const value: Parked = { code, until, detail, names: namesOf(identifiers) };
      if (problem) value.problem = problem;
      await write(csrKey(csr), order ? { ...value, order } : value, until);
    },
    recordSuccess: async identifiers => {
      await redis.del(failedKey(identifiers));
    },
  };
}

/** All keys whose limits an order has to respect. */
const foundAt = (keys: readonly string[], values: readonly (string | null)[]) =>
  values.flatMap((text, at) => (text ? [{ key: keys[at] ?? '', text }] : []));

function keysOf(identifiers: Identifier[], scope: LimitScope): string[] {
  return [
    accountKey(scope),
    setKey(identifiers, scope),
    ...registeredDomains(identifiers).map(domain => domainKey(domain, scope)),
    ...identifiers.map(({ value }) => nameKey(value, scope)),
  ];
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

/** @param isWide whether a limit that does not say what it covers is taken to be the account's */
function toKey(cover: Cover, identifiers: Identifier[], scope: LimitScope, isWide: boolean): string {
  if (typeof cover === 'object')
    return 'name' in cover ? nameKey(cover.name, scope) : domainKey(cover.domain, scope);
  const isAccount = cover === 'account' || (cover === 'unsaid' && isWide);
  return isAccount ? accountKey(scope) : setKey(identifiers, scope);
}

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
