import { toScript } from '../base/redis.ts';

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
export const TAKE = toScript(`${LISTS}
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
export const SETTLE = toScript(`${LISTS}
local now, id = tonumber(ARGV[1]), ARGV[2]
for i = 1, #KEYS / 3 do
  leave(i, id)
  if ARGV[2 * i + 2] == 'spend' then spend(i, tonumber(ARGV[2 * i + 1]), now) end
end`);
