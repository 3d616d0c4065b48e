import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/basics.ts';
import { runScript, type Store, toScript } from '../base/redis.ts';

// How long the accounts of ACME clients are kept: those that have issued for ever, all others until they are
// not used for a while.

/** Milliseconds that an account is kept for which never issued, from its last use on. */
export const IDLE_LIFE = 30 * 24 * 3_600_000;

/** Where Redis keeps what is known of accounts. */
export function accountKeys(prefix: string) {
  const root = `${prefix}:acme:`;
  return {
    /** The record. */
    record: (id: string) => `${root}account:${id}`,
    /** The id, by the thumbprint of the account's key. */
    byKey: (thumbprint: string) => `${root}key:${thumbprint}`,
    /** A hash: `seen` in milliseconds, how many `certificates` it got, and the thumbprint of its `key`. */
    use: (id: string) => `${root}use:${id}`,
    /** All ids, by when they end: at `inf` where they do not. */
    all: `${root}accounts`,
  };
}

/**
 * A Lua function for a script that gives an account a certificate, which keeps it for ever. Its arguments are
 * the account's id, the keys of its record, of its use and of all accounts, and what the keys begin with that
 * name accounts by their key.
 */
export const NOTE_ISSUED = `
local function note_issued(id, record, use, all, by_key)
  if redis.call('EXISTS', record) == 0 then return end
  redis.call('HINCRBY', use, 'certificates', 1)
  redis.call('PERSIST', record)
  redis.call('PERSIST', use)
  redis.call('PERSIST', by_key .. (redis.call('HGET', use, 'key') or ''))
  redis.call('ZADD', all, 'inf', id)
end`;

/**
 * KEYS: record, its use, what names it by its key, all accounts. ARGV: id, thumbprint, now, life, its end.
 */
const NOTE_SEEN = toScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'seen', ARGV[3], 'key', ARGV[2])
local has_issued = tonumber(redis.call('HGET', KEYS[2], 'certificates') or '0') > 0
for at = 1, 3 do
  if has_issued then redis.call('PERSIST', KEYS[at]) else redis.call('PEXPIRE', KEYS[at], ARGV[4]) end
end
redis.call('ZADD', KEYS[4], has_issued and 'inf' or ARGV[5], ARGV[1])
return 1`);

/** Milliseconds for which a process does not note again that it has seen an account. */
const NOTED_FOR = 3_600_000;
const MOST_REMEMBERED = 10_000;

/** Notes when accounts come, at most once an hour; that is lost where Redis does not take it. */
export function openNoteSeen({ redis, prefix }: Store, clock: Pick<Clock, 'now'>) {
  const noted = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  const keys = accountKeys(prefix);

  return ({ id, thumbprint }: { id: string; thumbprint: string }): void => {
    const now = clock.now();
    const last = noted.get(id);
    if (last !== undefined && now < last + NOTED_FOR) return;
    noted.set(id, now);
    const own = [keys.record(id), keys.use(id), keys.byKey(thumbprint), keys.all];
    runScript(redis, NOTE_SEEN, own, [id, thumbprint, now, IDLE_LIFE, now + IDLE_LIFE]).catch(() =>
      noted.delete(id),
    );
  };
}
