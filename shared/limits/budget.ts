import type { Clock } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { parseNumber, runScript, type Store, toScript } from '../base/redis.ts';
import { SLOW_PENALTY, SLOW_RATE } from './failure-backoff.ts';
import {
  accountKey,
  domainKey,
  type LimitScope,
  nameKey,
  registeredDomains,
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

// A bucket is three keys: the time at which it will be full again (the theoretical arrival time of the
// generic cell rate algorithm); a sorted set of places before it, job by rank; and the same jobs by the time
// at which their places lapse, so that a job that was killed or given up keeps no other waiting.

const LISTS = `
local function lists(i) return KEYS[3 * i - 1], KEYS[3 * i] end
local function leave(i, id)
  local places, lapses = lists(i)
  if redis.call('ZREM', places, id) == 1 then redis.call('ZREM', lapses, id) end
end
local function enter(i, id, rank, lapse, now)
  local places, lapses = lists(i)
  redis.call('ZADD', places, string.format('%.0f', rank), id)
  redis.call('ZADD', lapses, string.format('%.0f', lapse), id)
  local last = tonumber(redis.call('ZREVRANGE', lapses, 0, 0, 'WITHSCORES')[2])
  for _, key in ipairs({ places, lapses }) do redis.call('PEXPIRE', key, string.format('%.0f', last - now + 1)) end
end
local function spend(i, interval, now)
  local full = math.max(tonumber(redis.call('GET', KEYS[3 * i - 2]) or '0'), now) + interval
  -- To the microsecond, as many intervals are added up.
  redis.call('SET', KEYS[3 * i - 2], string.format('%.3f', full), 'PX', string.format('%.0f', math.ceil(full - now)))
end
`;

/**
 * Takes an order from all buckets or from none. A bucket has room when it holds more tokens than better
 * ranked jobs stand before it. A job that is short waits in one place alone, before the bucket that keeps it
 * longest: so it reserves nothing of the others that it cannot use.
 *
 * KEYS: three of each bucket; last, since when the same is asked for, which keeps the rank of one that was
 * sent away. ARGV: now, id, rank, deadline, how long a place outlives its turn, how long the use of a kept
 * token may take, by how much the rank is worse for what its client has failed, then for each bucket its
 * interval, its burst and what is done with the token: `spend`, `keep` (until it is known whether it is
 * spent) or `look`. Answers { bucket that is short or 0, when it has room, 1 where the job has a place now }.
 */
const TAKE = toScript(`${LISTS}
local now, id, rank, deadline = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local since = KEYS[#KEYS]
local first = math.min(rank, tonumber(redis.call('GET', since) or rank))
rank = first + tonumber(ARGV[7])
local buckets, short, latest = (#KEYS - 1) / 3, 0, 0
for i = 1, buckets do
  local places, lapses = lists(i)
  local interval, burst, ahead = tonumber(ARGV[3 * i + 5]), tonumber(ARGV[3 * i + 6]), 0
  if redis.call('EXISTS', places) == 1 then
    for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', lapses, '-inf', now)) do leave(i, lapsed) end
    leave(i, id)
    ahead = redis.call('ZCOUNT', places, '-inf', '(' .. string.format('%.0f', rank))
  end
  local full = math.max(tonumber(redis.call('GET', KEYS[3 * i - 2]) or '0'), now)
  local room = full - (burst - 1 - ahead) * interval
  if room > now + 0.5 and room > latest then short, latest = i, math.ceil(room) end
end
if short > 0 and latest <= deadline then
  enter(short, id, rank, latest + tonumber(ARGV[5]), now)
elseif short > 0 then
  redis.call('SET', since, string.format('%.0f', first), 'PX', string.format('%.0f', latest - now + tonumber(ARGV[5])))
else
  redis.call('DEL', since)
  for i = 1, buckets do
    local use = ARGV[3 * i + 7]
    if use == 'spend' then spend(i, tonumber(ARGV[3 * i + 5]), now) end
    if use == 'keep' then enter(i, id, 0, now + tonumber(ARGV[6]), now) end
  end
end
return { short, string.format('%.0f', latest), latest <= deadline and 1 or 0 }`);

/**
 * Spends tokens whether there are any or not, and ends a job's places and the keeping of tokens for it.
 *
 * KEYS: three of each bucket. ARGV: now, id, then for each bucket its interval and `spend` or `leave`.
 */
const SETTLE = toScript(`${LISTS}
local now, id = tonumber(ARGV[1]), ARGV[2]
for i = 1, #KEYS / 3 do
  leave(i, id)
  if ARGV[2 * i + 2] == 'spend' then spend(i, tonumber(ARGV[2 * i + 1]), now) end
end`);

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
