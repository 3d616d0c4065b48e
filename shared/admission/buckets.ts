import { runScript, type Store, toScript } from '../base/redis.ts';
import type { Rate } from '../config/rate.ts';

// Token buckets in Redis, which all intakes share.

/** What is counted, and how often it may be. */
export type Bucket = { key: string; rate: Rate };

/**
 * Counts once in every bucket of a group, or in none, for each group that has room. A bucket is the time at
 * which it will be full again, by Redis's clock.
 *
 * KEYS: the buckets. ARGV: of each the number of its group, from 1 on, its interval and its burst. Answers
 * for each group how many milliseconds it has no room for; 0 where it counted.
 */
const TAKE = toScript(`
local time, waits, full = redis.call('TIME'), {}, {}
local now = time[1] * 1000 + time[2] / 1000
for i, key in ipairs(KEYS) do
  local group, interval, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local latest = now + burst * interval -- a time beyond it was written by a clock that was ahead
  full[i] = math.min(math.max(tonumber(redis.call('GET', key) or '0'), now), latest)
  local wait = math.ceil(math.max(full[i] - (burst - 1) * interval - now, 0))
  waits[group] = math.max(waits[group] or 0, wait)
end
for i, key in ipairs(KEYS) do
  if waits[tonumber(ARGV[3 * i - 2])] == 0 then
    local last = full[i] + tonumber(ARGV[3 * i - 1])
    redis.call('SET', key, string.format('%.3f', last), 'PX', string.format('%.0f', math.ceil(last - now)))
  end
end
return waits`);

type Buckets = {
  /**
   * @param groups each of one bucket at least
   * @returns of each the milliseconds after which all of it has room; 0 where this counted
   */
  take(groups: readonly (readonly Bucket[])[]): Promise<number[]>;
};

export const openBuckets = ({ redis, prefix }: Store): Buckets => ({
  async take(groups) {
    const all = groups.flatMap((group, index) => group.map(bucket => ({ ...bucket, index })));
    if (all.length === 0) return [];
    const keys = all.map(({ key }) => `${prefix}:${key}`);
    const figures = all.flatMap(({ index, rate: { period, count } }) => [index + 1, period / count, count]);
    return (await runScript(redis, TAKE, keys, figures)) as number[];
  },
});
