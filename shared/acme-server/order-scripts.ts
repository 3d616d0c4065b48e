import { toScript } from '../base/redis.ts';
import { NOTE_ISSUED } from './account-life.ts';

// What Redis does with the orders of ACME clients.

/**
 * Writes a new order, unless its account has too many that are not finished. Times in the list of an account
 * are made to differ, so that a page ends at one.
 *
 * KEYS: order, the account's orders by when they came, its unfinished ones by when they expire. ARGV: the
 * order, its life, its id, now, when it expires, how many may be unfinished, how many are listed. Answers
 * nil, or when the first of those that stand in the way expires.
 */
export const CREATE = toScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[4])
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[6]) then
  return redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
end
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or 0
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.0f', math.max(ARGV[4], last + 1)), ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[7])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[3])
for i = 2, 3 do
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return false`);

/**
 * Ends an order that is still as it was read, once. With a certificate, its order and what leads to it live
 * as long, and its account for ever.
 *
 * KEYS: order, the account's unfinished orders, its list of orders, then where there is a certificate: that,
 * the account, its use, all accounts, and what leads to it by its renewal id where it has one. ARGV: the
 * order before, the order after, its life, its id, when that ends, the certificate, its fingerprint, the
 * account's id, and what the keys begin with that name accounts by their key.
 */
export const END = toScript(`${NOTE_ISSUED}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if not KEYS[4] then
  redis.call('ZADD', KEYS[2], 'XX', ARGV[5], ARGV[4])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[4])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[4], ARGV[6], 'PX', ARGV[3])
note_issued(ARGV[8], KEYS[5], KEYS[6], KEYS[7], ARGV[9])
if KEYS[8] then redis.call('SET', KEYS[8], ARGV[7], 'PX', ARGV[3]) end
return 1`);
