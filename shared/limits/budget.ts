import type { Directory } from '../acme/directory.ts';
import type { Clock } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { parseNumber, runScript, type Store } from '../base/redis.ts';
import { SETTLE, TAKE } from './budget-scripts.ts';
import { describeShortage } from './describe-shortage.ts';
import { SLOW_PENALTY, SLOW_RATE } from './failure-backoff.ts';
import {
  accountKey,
  domainKey,
  type LimitScope,
  nameKey,
  registeredDomains,
  StandingLimitError,
  setKey,
  slowKey,
} from './limits.ts';
import type { LimitsConfig, Rate } from './limits-section.ts';
import { leftBy, partOf, type Share } from './share.ts';

/**
 * A job whose turn has come uses its place within this time, as does a client that comes again at the time it
 * was given.
 */
const PLACE_OUTLIVES_TURN = 60_000;
/** Longer than any order takes. */
const ORDER_LIFE = 65 * 60_000;

/**
 * What is left of the CA's published limits, for the whole fleet: token buckets in Redis, with a waiting list
 * each for when they are short. The rank says which job goes first; one that is out of patience gets the time
 * of its turn.
 */
export type Budget = {
  /**
   * Takes one new order, if every limit that the order and its certificate come under has room for it and for
   * those before it. Else the job has a place from now on, until a minute after its turn, if that comes
   * within its patience.
   *
   * @returns the limit that is used up, when the job's turn is, and whether it `waits`; `undefined`: it may
   *   order
   */
  takeOrder(identifiers: Identifier[], claim: Claim): Promise<Shortage | undefined>;
  /** Whether any limit counts certificates. */
  countsCertificates: boolean;
  /** Counts an issued certificate, and ends what the job had besides, as `leave` does. */
  spendCertificate(identifiers: Identifier[], claim: Pick<Claim, 'id' | 'share'>): Promise<void>;
  /** Counts a failed authorization of each name. */
  spendFailures(names: string[]): Promise<void>;
  /** Ends a job's place, and what was kept for a certificate that did not come. */
  leave(identifiers: Identifier[], claim: Pick<Claim, 'id' | 'share'>): Promise<void>;
  /** How many orders the account may make now; `undefined` where they are not counted. */
  ordersLeft(): Promise<{ left: number; rate: Rate } | undefined>;
};

/** The job that asks for an order; times are in milliseconds since the epoch. */
export type Claim = {
  /** Of the job. */
  id: string;
  /** The same for all posts of the same: one that comes again keeps its rank. */
  what: string;
  /** The least goes first. */
  rank: number;
  /** Until when it is ready to wait. */
  patience: number;
  /** Absent where nothing is divided. */
  share?: Share | undefined;
  /** The auth block, where that is slowed down, and how many orders of the same client have failed. */
  slow?: { block: string; failures: number } | undefined;
};

/** `until` is in milliseconds since the epoch. */
export type Shortage = { key: string; until: number; waits: boolean };

/**
 * `spend` a token at once, `keep` one until it is known whether it is spent, or `look` whether there is one.
 */
type Bucket = { key: string; rate: Rate; use: 'spend' | 'keep' | 'look' };

/** Whether an order counts for the CA's limits. */
export type Turn = 'counted' | 'exempt';

/** `waits`: the claim has a place before the limit, and is to come again at `limit.retryAfter`. */
type Permission = { may: true; turn: Turn } | { may: false; limit: StandingLimitError; waits: boolean };

/**
 * Whether a new order may be sent to a CA: no limit stands against it, and what the CA allows is not used up.
 * A renewal that the CA exempts (RFC 9773 section 5) counts for nothing; all else is counted, once for all
 * tries to make the order.
 *
 * @param standing the limit that is known to stand against it
 * @param order `renews`: whether it says which certificate it replaces; `turn`: what an earlier try was told
 */
export async function mayOrder(
  ca: { budget: Pick<Budget, 'takeOrder'>; directory(signal: AbortSignal): Promise<Directory> },
  standing: StandingLimitError | undefined,
  identifiers: Identifier[],
  order: { renews: boolean; turn: Turn | undefined },
  claim: Claim,
  signal: AbortSignal,
): Promise<Permission> {
  if (standing) return { may: false, limit: standing, waits: false };
  if (order.turn) return { may: true, turn: order.turn };
  if (order.renews && (await ca.directory(signal)).urls.renewalInfo !== undefined)
    return { may: true, turn: 'exempt' };
  const shortage = await ca.budget.takeOrder(identifiers, claim);
  if (!shortage) return { may: true, turn: 'counted' };
  const { key, until, waits } = shortage;
  const detail = describeShortage(key);
  return { may: false, limit: new StandingLimitError('rateLimited', detail, { retryAfter: until }), waits };
}

export function openBudget(
  { redis, prefix }: Store,
  scope: LimitScope,
  limits: LimitsConfig,
  clock: Clock,
): Budget {
  const { orders, certificatesPerDomain, certificatesPerSet, failedAuthorizations } = limits;

  // A limit that is not counted has no buckets, whose keys would cost more than all else.
  const toBuckets = (rate: Rate | undefined, use: Bucket['use'], keys: () => string[]): Bucket[] =>
    rate ? keys().map(key => ({ key, rate, use })) : [];
  const orderBuckets = ({ share, slow }: Pick<Claim, 'share' | 'slow'>): Bucket[] => [
    ...(slow === undefined ? [] : toBuckets(SLOW_RATE, 'spend', () => [slowKey(slow.block)])),
    ...toBuckets(orders, 'spend', () => [accountKey(scope)]),
    ...(share
      ? toBuckets(partOf(orders, share.part), 'spend', () => [`share/${share.name}@${scope.account}`])
      : []),
  ];
  const certificateBuckets = (identifiers: Identifier[], share: Claim['share']): Bucket[] => [
    ...toBuckets(certificatesPerSet, 'keep', () => [setKey(identifiers, scope)]),
    ...toBuckets(certificatesPerDomain, 'keep', () =>
      registeredDomains(identifiers).map(domain => domainKey(domain, scope)),
    ),
    ...(share ? sharedBuckets(identifiers, share) : []),
  ];
  const sharedBuckets = (identifiers: Identifier[], { name, domains = new Map(), rivalsForSet }: Share) => [
    ...toBuckets(leftBy(certificatesPerSet, rivalsForSet), 'keep', () => [
      `share/${name}/${setKey(identifiers, scope)}`,
    ]),
    ...registeredDomains(identifiers).flatMap(domain =>
      toBuckets(partOf(certificatesPerDomain, domains.get(domain)), 'keep', () => [
        `share/${name}/${domainKey(domain, scope)}`,
      ]),
    ),
  ];
  const nameBuckets = (names: string[]): Bucket[] =>
    toBuckets(failedAuthorizations, 'look', () => names.map(name => nameKey(name, scope)));
  const allBuckets = (identifiers: Identifier[], claim: Pick<Claim, 'share' | 'slow'>) => [
    ...orderBuckets(claim),
    ...certificateBuckets(identifiers, claim.share),
    ...nameBuckets(identifiers.map(({ value }) => value)),
  ];

  const keyOf = (key: string) => `${prefix}:budget:${key}`;
  const keysOf = (key: string) => [keyOf(key), keyOf(`places/${key}`), keyOf(`lapses/${key}`)];

  /** @param spent the use of those buckets that are spent from; the others are left */
  async function settle(buckets: Bucket[], spent: Bucket['use'] | undefined, id: string): Promise<void> {
    if (buckets.length === 0) return;
    const keys = buckets.flatMap(({ key }) => keysOf(key));
    const toUse = ({ rate, use }: Bucket) => [rate.period / rate.count, use === spent ? 'spend' : 'leave'];
    const figures = buckets.flatMap(toUse);
    await runScript(redis, SETTLE, keys, [clock.now(), id, ...figures]);
  }

  return {
    async takeOrder(identifiers, claim) {
      const counted = allBuckets(identifiers, claim);
      if (counted.length === 0) return undefined;
      const since = keyOf(`since/${scope.account}/${claim.what}`);
      const keys = [...counted.flatMap(({ key }) => keysOf(key)), since];
      const { id, rank, patience } = claim;
      const figures = counted.flatMap(({ rate, use }) => [rate.period / rate.count, rate.count, use]);
      const penalty = (claim.slow?.failures ?? 0) * SLOW_PENALTY;
      const who = [clock.now(), id, rank, patience, PLACE_OUTLIVES_TURN, ORDER_LIFE, penalty];
      const answer = await runScript(redis, TAKE, keys, [...who, ...figures]);
      const [index, until, waits] = answer as [number, string, number];
      const short = counted[index - 1];
      return short && { key: short.key, until: Number(until), waits: waits === 1 };
    },
    countsCertificates: certificatesPerDomain !== undefined || certificatesPerSet !== undefined,
    spendCertificate: (identifiers, claim) => settle(allBuckets(identifiers, claim), 'keep', claim.id),
    spendFailures: names => settle(nameBuckets(names), 'look', ''),
    leave: (identifiers, claim) => settle(allBuckets(identifiers, claim), undefined, claim.id),
    async ordersLeft() {
      if (!orders) return undefined;
      const key = keyOf(accountKey(scope));
      const full = parseNumber(key, (await redis.get(key)) ?? '0');
      return { left: leftOf(orders, full, clock.now()), rate: orders };
    },
  };
}

/** How many tokens a bucket holds. @param full when it will be full; in milliseconds since the epoch */
export function leftOf({ count, period }: Rate, full: number, now: number): number {
  const spent = Math.ceil((Math.max(full, now) - now) / (period / count));
  return Math.max(count - spent, 0);
}
