import type { Clock } from '../base/clock.ts';
import type { Store } from '../base/redis.ts';
import { SETTLE, TAKE } from './budget-scripts.ts';
import {
  accountKey,
  domainKey,
  type LimitedOrder,
  nameKey,
  registeredDomain,
  setKey,
} from './limited-order.ts';
import type { LimitsConfig, Rate } from './limits-section.ts';

/** A job whose turn has come uses its place within this time, as does a client that was told when to come again. */
const PLACE_OUTLIVES_TURN = 60_000;
/** Longer than any order takes. */
const ORDER_LIFE = 65 * 60_000;

/**
 * What is left of the CA's published limits, for the whole fleet: token buckets in Redis, with a waiting list each for when
 * they are short. Who comes first is the rank's to say; one that is out of patience is told when its turn would be.
 */
export type Budget = {
  /**
   * Takes one new order, if every limit that the order and its certificate come under has room for it and for those before
   * it. Else the job has a place from now on, until a minute after its turn, if that comes within its patience.
   *
   * @returns the limit that is used up, when the job's turn is, and whether it `waits`; `undefined`: it may order
   */
  takeOrder(order: LimitedOrder, claim: Claim): Promise<Shortage | undefined>;
  /** Counts an issued certificate. */
  spendCertificate(order: LimitedOrder, claim: Pick<Claim, 'id'>): Promise<void>;
  /** Counts a failed authorization of each name. */
  spendFailures(names: string[]): Promise<void>;
  /** Ends a job's place, and what was kept for a certificate that did not come. */
  leave(order: LimitedOrder, claim: Pick<Claim, 'id' | 'share'>): Promise<void>;
};

/** Who asks for an order; times are in milliseconds since the epoch. */
export type Claim = {
  /** Of the job. */
  id: string;
  /** The same for all posts of the same: one that comes again keeps its rank. */
  what: string;
  /** The least goes first. */
  rank: number;
  /** Until when it is ready to wait. */
  patience: number;
  /** What it may use of the account's orders: a part in (0, 1], with all others whose share has this name. */
  share?: { name: string; part: number } | undefined;
};

/** `until` is in milliseconds since the epoch. */
export type Shortage = { key: string; until: number; waits: boolean };

/** `spend` a token at once, `keep` one until it is known whether it is spent, or `look` whether there is one. */
type Bucket = { key: string; rate: Rate | undefined; use: 'spend' | 'keep' | 'look' };

export function openBudget({ redis, prefix }: Store, limits: LimitsConfig, clock: Clock): Budget {
  const { orders, certificatesPerDomain, certificatesPerSet, failedAuthorizations } = limits;

  const orderBuckets = (account: string, share: Claim['share']): Bucket[] => [
    { key: accountKey(account), rate: orders, use: 'spend' },
    ...(share
      ? [{ key: `share/${share.name}`, rate: partOf(orders, share.part), use: 'spend' as const }]
      : []),
  ];
  const certificateBuckets = ({ identifiers }: LimitedOrder): Bucket[] => [
    { key: setKey(identifiers), rate: certificatesPerSet, use: 'keep' },
    ...[...new Set(identifiers.map(registeredDomain))].map(
      (domain): Bucket => ({ key: domainKey(domain), rate: certificatesPerDomain, use: 'keep' }),
    ),
  ];
  const nameBuckets = (names: string[]): Bucket[] =>
    names.map(name => ({ key: nameKey(name), rate: failedAuthorizations, use: 'look' }));
  const allBuckets = (order: LimitedOrder, { share }: Pick<Claim, 'share'>) => [
    ...orderBuckets(order.account, share),
    ...certificateBuckets(order),
    ...nameBuckets(order.identifiers.map(({ value }) => value)),
  ];

  const keyOf = (key: string) => `${prefix}:budget:${key}`;
  const keysOf = (key: string) => [keyOf(key), keyOf(`places/${key}`), keyOf(`lapses/${key}`)];

  async function settle(buckets: Bucket[], what: 'spend' | 'leave', id: string): Promise<void> {
    const counted = onlyCounted(buckets);
    if (counted.length === 0) return;
    const keys = counted.flatMap(({ key }) => keysOf(key));
    const figures = counted.flatMap(({ rate }) => [rate.period / rate.count, what]);
    await redis.eval(SETTLE, keys.length, ...keys, clock.now(), id, ...figures);
  }

  return {
    async takeOrder(order, claim) {
      const counted = onlyCounted(allBuckets(order, claim));
      if (counted.length === 0) return undefined;
      const keys = [...counted.flatMap(({ key }) => keysOf(key)), keyOf(`since/${claim.what}`)];
      const { id, rank, patience } = claim;
      const figures = counted.flatMap(({ rate, use }) => [rate.period / rate.count, rate.count, use]);
      const who = [clock.now(), id, rank, patience, PLACE_OUTLIVES_TURN, ORDER_LIFE];
      const answer = await redis.eval(TAKE, keys.length, ...keys, ...who, ...figures);
      const [index, until, waits] = answer as [number, string, number];
      const short = counted[index - 1];
      return short && { key: short.key, until: Number(until), waits: waits === 1 };
    },
    spendCertificate: (order, { id }) => settle(certificateBuckets(order), 'spend', id),
    spendFailures: names => settle(nameBuckets(names), 'spend', ''),
    leave: (order, claim) => settle(allBuckets(order, claim), 'leave', claim.id),
  };
}

const onlyCounted = (buckets: Bucket[]) =>
  buckets.flatMap(({ rate, ...bucket }) => (rate ? [{ ...bucket, rate }] : []));

function partOf(rate: Rate | undefined, part: number): Rate | undefined {
  return rate && { count: Math.max(1, Math.floor(rate.count * part + 1e-6)), period: rate.period };
}
