import type { Clock } from '../base/clock.ts';
import type { Redis } from '../base/redis.ts';
import type { LimitsConfig, Rate } from '../config/limits.ts';
import { accountKey, domainKey, type LimitedOrder, nameKey, registeredDomain, setKey } from './limited-order.ts';

/**
 * What is left of the CA's published limits, for the whole fleet: token buckets in Redis, one key each. A key holds the
 * time at which its bucket will be full again (the theoretical arrival time of the generic cell rate algorithm).
 */
export type Budget = {
  /**
   * Takes one new order, if every limit that the order and its certificate come under has room.
   *
   * @param share what the auth block may use of the account's orders, in (0, 1]
   * @returns the limit that is used up and when it has room again (milliseconds since the epoch), or `undefined`
   */
  takeOrder(order: LimitedOrder, block: { name: string; share?: number }): Promise<Shortage | undefined>;
  /** Counts an issued certificate. */
  spendCertificate(order: LimitedOrder): Promise<void>;
  /** Counts a failed authorization of each name. */
  spendFailures(names: string[]): Promise<void>;
};

export type Shortage = { key: string; until: number };

/** ARGV: now, then for each key the emission interval, the burst and the cost. Takes from all of them or from none. */
const TAKE = `
local now = tonumber(ARGV[1])
local short, latest = 0, 0
local full = {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  full[i] = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local room = full[i] - (burst - 1) * interval
  if room > now and room > latest then short, latest = i, room end
end
if short > 0 and ARGV[#ARGV] ~= 'anyway' then return { short, tostring(latest) } end
for i, key in ipairs(KEYS) do
  local cost = tonumber(ARGV[3 * i + 1])
  local after = full[i] + cost * tonumber(ARGV[3 * i - 1])
  if cost > 0 then redis.call('SET', key, string.format('%.0f', after), 'PX', string.format('%.0f', math.max(after - now, 1))) end
end
return { 0, '0' }`;

type Bucket = { key: string; rate: Rate | undefined; cost: 0 | 1 };

export function openBudget(redis: Redis, prefix: string, limits: LimitsConfig, clock: Clock): Budget {
  const { orders, certificatesPerDomain, certificatesPerSet, failedAuthorizations } = limits;

  const certificateBuckets = ({ identifiers }: LimitedOrder, cost: 0 | 1): Bucket[] => [
    { key: setKey(identifiers), rate: certificatesPerSet, cost },
    ...[...new Set(identifiers.map(registeredDomain))].map(domain => ({
      key: domainKey(domain),
      rate: certificatesPerDomain,
      cost,
    })),
  ];
  const nameBuckets = (names: string[], cost: 0 | 1): Bucket[] =>
    names.map(name => ({ key: nameKey(name), rate: failedAuthorizations, cost }));

  async function take(buckets: Bucket[], when: 'if-room' | 'anyway'): Promise<Shortage | undefined> {
    const counted = buckets.flatMap(({ key, rate, cost }) => (rate ? [{ key, rate, cost }] : []));
    if (counted.length === 0) return undefined;
    const keys = counted.map(({ key }) => `${prefix}:budget:${key}`);
    const figures = counted.flatMap(({ rate, cost }) => [rate.period / rate.count, rate.count, cost]);
    const answer = await redis.eval(TAKE, keys.length, ...keys, clock.now(), ...figures, when);
    const [index, until] = answer as [number, string];
    const short = counted[index - 1];
    return short && { key: short.key, until: Number(until) };
  }

  return {
    takeOrder: (order, { name, share }) =>
      take(
        [
          { key: accountKey(order.account), rate: orders, cost: 1 },
          { key: `share/${name}`, rate: share === undefined ? undefined : part(orders, share), cost: 1 },
          ...certificateBuckets(order, 0),
          ...nameBuckets(
            order.identifiers.map(({ value }) => value),
            0,
          ),
        ],
        'if-room',
      ),
    spendCertificate: async order => {
      await take(certificateBuckets(order, 1), 'anyway');
    },
    spendFailures: async names => {
      await take(nameBuckets(names, 1), 'anyway');
    },
  };
}

function part(rate: Rate | undefined, share: number): Rate | undefined {
  return rate && { count: Math.max(1, Math.floor(rate.count * share)), period: rate.period };
}
