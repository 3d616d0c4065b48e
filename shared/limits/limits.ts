import { hash } from 'node:crypto';
import { getDomain } from 'tldts';
import type { Clock } from '../base/basics.ts';
import { type ChallengeType, canProve, type Identifier } from '../base/identifier.ts';
import type { Store } from '../base/redis.ts';
import { type KeptOrder, keptOrder, type StandingLimitError, standingOf } from './standing-limit.ts';

export { StandingLimitError } from './standing-limit.ts';

/** One entry of what is parked, as an operator sees it. */
export type Limit = {
  key: string;
  /** Milliseconds since the epoch; absent where only an operator can end it. */
  until?: number | undefined;
  detail: string;
  /** The names of the order that ran into it. */
  names: string[];
};

/**
 * Who orders, and how: what only others meet stands not against these.
 */
export type Orderer = {
  /** The auth block; absent where none does. */
  block?: string;
  /** The address of its client. */
  client?: string | undefined;
  /** What proves the names, as `proofOf` says. */
  proof: string;
};

/** What stands against orders: limits that a CA has answered with, and names that failed too often. */
export type StandingLimits = {
  /**
   * Why names cannot be ordered now, with what is left to wait: `rateLimited`, `challengeFailed`, or
   * `unavailable` where the CA asked all clients to wait for a moment; `badCsr` where it has refused the CSR;
   * `denied` where the key is blocked.
   *
   * @param orderer absent: only what stands against everybody
   * @param csr digest of the CSR, where there is one
   * @param publicKey the `keyDigest` of the key that the certificate would be for
   */
  standingAgainst(
    identifiers: Identifier[],
    orderer?: Orderer,
    csr?: string,
    publicKey?: string,
  ): Promise<StandingLimitError | undefined>;
  /**
   * The keys in Redis of what may stand against names, for a caller that reads more in the same round trip.
   */
  keysAgainst(identifiers: Identifier[], orderer?: Orderer, csr?: string, publicKey?: string): string[];
  /** The same as `standingAgainst`, from those keys and their values. */
  findStanding(keys: readonly string[], values: readonly (string | null)[]): StandingLimitError | undefined;
  /** The order of an earlier job for the same CSR by this account, from those keys and their values. */
  findKept(keys: readonly string[], values: readonly (string | null)[]): KeptOrder | undefined;
  /** The key in Redis that blocks a public key. @param publicKey its `keyDigest` */
  blockedKey(publicKey: string): string;
  /** The keys in Redis of the failures that a success of these names, so proven, ends. */
  failureKeys(identifiers: Identifier[], orderer: Orderer): string[];
  /** The key in Redis under which an auth block is slowed down. */
  slowKey(block: string): string;
  /** The key in Redis of what is known of a CSR; another end of its order deletes it. */
  csrKey(csr: string): string;
};

/** Where Redis has why a key is blocked, until an operator unblocks it. @param publicKey its `keyDigest` */
export const blockedKey = ({ prefix }: Pick<Store, 'prefix'>, publicKey: string) =>
  `${prefix}:blocked-key:${publicKey}`;

export const parkedKey = ({ prefix }: Pick<Store, 'prefix'>, key: string) => `${prefix}:limit:${key}`;

/** Where Redis counts the failed orders of an auth block that is not slowed down. */
export const failedOrdersKey = ({ prefix }: Pick<Store, 'prefix'>, block: string) =>
  `${prefix}:failed-orders:${block}`;

/** Where Redis counts, by client, the failed orders of an auth block. */
export const failedClientsKey = ({ prefix }: Pick<Store, 'prefix'>, block: string) =>
  `${prefix}:failed-clients:${block}`;

export function openStandingLimits(store: Store, scope: LimitScope, clock: Clock): StandingLimits {
  const { redis } = store;
  const csrKey = (csr: string) => parkedKey(store, `csr/${csr.slice(0, 16)}@${scope.ca}`);
  const keysAgainst = (identifiers: Identifier[], orderer?: Orderer, csr?: string, publicKey?: string) => [
    ...(publicKey === undefined ? [] : [blockedKey(store, publicKey)]),
    ...(orderer ? ownKeys(identifiers, orderer, scope) : []).map(key => parkedKey(store, key)),
    ...keysOf(identifiers, scope).map(key => parkedKey(store, key)),
    ...(csr === undefined ? [] : [csrKey(csr)]),
  ];

  const findStanding = (keys: readonly string[], values: readonly (string | null)[]) => {
    const found = foundAt(keys, values);
    return found.length === 0 ? undefined : standingOf(found, clock.now());
  };

  return {
    async standingAgainst(identifiers, orderer, csr, publicKey) {
      const keys = keysAgainst(identifiers, orderer, csr, publicKey);
      return findStanding(keys, await redis.mget(keys));
    },
    keysAgainst,
    findStanding,
    findKept(keys, values) {
      const found = foundAt(keys, values);
      return found.length === 0 ? undefined : keptOrder(found, scope.account);
    },
    blockedKey: publicKey => blockedKey(store, publicKey),
    failureKeys: (identifiers, orderer) => [
      parkedKey(store, failuresKey(identifiers, orderer, scope)),
      ...(orderer.block === undefined
        ? []
        : [
            parkedKey(store, slowKey(orderer.block)),
            failedOrdersKey(store, orderer.block),
            failedClientsKey(store, orderer.block),
          ]),
    ],
    slowKey: block => parkedKey(store, slowKey(block)),
    csrKey,
  };
}

const foundAt = (keys: readonly string[], values: readonly (string | null)[]) =>
  keys.flatMap((key, at) => {
    const text = values[at];
    return text ? [{ key, text }] : [];
  });

/**
 * What proves names, as far as that can be told before a CA says what it offers: the first verification that
 * can for each of them.
 *
 * @param verifications in the order of preference
 * @returns their names, joined by `+`; empty where none can
 */
export function proofOf(
  identifiers: readonly Identifier[],
  verifications: readonly { name: string; challengeType: ChallengeType }[],
): string {
  const first = identifiers.map(one =>
    verifications.find(({ challengeType }) => canProve(challengeType, one)),
  );
  const used = new Set(first.flatMap(one => (one ? [`${one.name}:${one.challengeType}`] : [])));
  return [...used].sort().join('+');
}

/** What others' orders for the same names do not come under. */
function ownKeys(identifiers: Identifier[], orderer: Orderer, scope: LimitScope): string[] {
  const { block } = orderer;
  return [failuresKey(identifiers, orderer, scope), ...(block === undefined ? [] : [blockKey(block, scope)])];
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
/** What an auth block alone has met at an account, in words that do not say what it covers. */
export const blockKey = (block: string, { account }: LimitScope) => `block/${block}@${account}`;
/** Quarry's own backoff: names that fail by one way of proving them may well be proven by another. */
export const failuresKey = (identifiers: Identifier[], { proof }: Orderer, { ca }: LimitScope) =>
  `failures/${setDigest(identifiers)}/${proof}@${ca}`;
export const slowKey = (block: string) => `slow/${block}`;

/** An order asks for its own several times. */
const digests = new WeakMap<Identifier[], string>();

/** The exact set of identifiers, in whatever order they were asked for; the list stays as it is. */
export function setDigest(identifiers: Identifier[]): string {
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
