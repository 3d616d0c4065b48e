import { type Redis, runScript, toScript } from '../base/redis.ts';

/** An entry of the renewal index, as it is written. Times in milliseconds since the epoch. */
export type Written = {
  id: string;
  /** What it may be written over: anything, an entry of this certificate, or none where that is absent. */
  over: 'anything' | { certificate: string | undefined };
  certificate: string;
  text: string;
  /** When to look at it. */
  at: number;
  notAfter: number;
  failed: boolean;
  /** Whether it is left to expire. */
  left: boolean;
  /** Whether it is only watched. */
  watched: boolean;
};

/** The index's keys in Redis. */
type Keys = {
  entries: string;
  due: string;
  ends: string;
  failed: string;
  /** Ends of those that are not left. */
  wanted: string;
  /** Due of those that are only watched, which are in none of the others. */
  watched: string;
};

/** @returns how many entries were written, all in one step */
export function openIndexWriter(redis: Redis, keys: Keys): (written: readonly Written[]) => Promise<number> {
  const { entries, due, ends, failed, wanted, watched } = keys;
  return async written => {
    if (written.length === 0) return 0;
    const args = written.flatMap(toArguments);
    return Number(await runScript(redis, WRITE, [entries, due, ends, failed, wanted, watched], args));
  };
}

function toArguments({ id, over, certificate, text, at, notAfter, ...flags }: Written): (string | number)[] {
  const mayBeThere = over === 'anything' ? 'anything' : (over.certificate ?? 'nothing');
  const { failed, left, watched } = flags;
  const value = `${certificate}\n${text}`;
  return [id, mayBeThere, Math.round(at), notAfter, Number(failed), value, Number(left), Number(watched)];
}

/**
 * KEYS: as `Keys` has them. ARGV, for each entry: id; the certificate that is to be there, or `anything` or
 * `nothing`, as no certificate is called; when to look, end, failed, value, left, watched. An entry begins
 * with its certificate, so that nothing has to be parsed to compare it.
 */
const WRITE = toScript(`
local function isThere(id, certificate)
  if certificate == 'anything' then return true end
  local there = redis.call('HGET', KEYS[1], id)
  if certificate == 'nothing' then return not there end
  local head = certificate .. '\\n'
  return there and string.sub(there, 1, #head) == head
end
local written = 0
for at = 1, #ARGV, 8 do
  local id, certificate, look, ends, failed, value, left, watched = unpack(ARGV, at, at + 7)
  if isThere(id, certificate) then
    written = written + 1
    redis.call('HSET', KEYS[1], id, value)
    if watched == '1' then
      redis.call('ZADD', KEYS[6], look, id)
      redis.call('ZREM', KEYS[2], id)
      redis.call('ZREM', KEYS[3], id)
      redis.call('SREM', KEYS[4], id)
      redis.call('ZREM', KEYS[5], id)
    else
      redis.call('ZREM', KEYS[6], id)
      redis.call('ZADD', KEYS[2], look, id)
      redis.call('ZADD', KEYS[3], ends, id)
      redis.call(failed == '1' and 'SADD' or 'SREM', KEYS[4], id)
      if left == '1' then redis.call('ZREM', KEYS[5], id)
      else redis.call('ZADD', KEYS[5], ends, id) end
    end
  end
end
return written`);
