import { runScript, type Store, toScript } from '../base/redis.ts';
import type { Seals } from './hmac.ts';
import {
  newToken,
  openTokenRecords,
  type TokenRecord,
  type TokenUse,
  tokenDigest,
  tokenKey,
  tokenUseKey,
} from './token-record.ts';

/** What became of a token. */
export type ListedToken = TokenRecord & {
  /** By which an ACME client's account is bound to it: its digest. */
  keyId: string;
  use: TokenUse | undefined;
};

/** The tokens of an installation, for its operators. */
export type TokenList = {
  /**
   * Makes a token. One of this name that is over gives way to it.
   *
   * @returns the token, which is kept nowhere; `undefined` where a token of this name is in use
   */
  add(wanted: Pick<TokenRecord, 'name' | 'block' | 'names' | 'once' | 'until'>): Promise<string | undefined>;
  /** By name. What bears no seal of the installation is no token. */
  list(): Promise<ListedToken[]>;
  /** From now on it is good for nothing. @returns whether there was such a token that was in use */
  revoke(name: string): Promise<boolean>;
};

/** Milliseconds for which tokens that are over stay in the list. */
const KEPT = 30 * 24 * 3_600_000;

/** @param seals of the installation */
export function openTokenList(store: Store, seals: Seals, clock: { now(): number }): TokenList {
  const { redis, prefix } = store;
  const records = openTokenRecords(store, seals);
  const byName = `${prefix}:tokens`;

  async function read(digest: string): Promise<ListedToken | undefined> {
    const kept = await records.read(digest);
    return kept && { ...kept.record, keyId: digest, use: kept.use };
  }

  async function readAll(): Promise<[digest: string, token: ListedToken | undefined][]> {
    const digests = Object.values(await redis.hgetall(byName));
    return Promise.all(digests.map(async digest => [digest, await read(digest)] as const)) as Promise<
      [string, ListedToken | undefined][]
    >;
  }

  async function removeOld(): Promise<void> {
    for (const [digest, token] of await readAll()) {
      if (token && (endOf(token) ?? Number.POSITIVE_INFINITY) < clock.now() - KEPT)
        await runScript(redis, REMOVE, keysOf(digest), [token.name, digest]);
    }
  }

  const keysOf = (digest: string) => [byName, tokenKey(prefix, digest), tokenUseKey(prefix, digest)];

  return {
    async add({ name, block, names, once, until }) {
      await removeOld();
      const before = await redis.hget(byName, name);
      const known = before === null ? undefined : await read(before);
      if (known && !isOver(known, clock.now())) return undefined;
      const token = newToken();
      const digest = tokenDigest(token);
      const record = { name, block, names, once, made: clock.now(), ...(until !== undefined && { until }) };
      const old = before ?? '';
      const keys = [byName, tokenKey(prefix, digest), tokenKey(prefix, old), tokenUseKey(prefix, old)];
      const args = [name, old, digest, records.toText(digest, record)];
      return (await runScript(redis, ADD, keys, args)) === 1 ? token : undefined;
    },
    async list() {
      const all = (await readAll()).flatMap(([, token]) => token ?? []);
      return all.sort((one, other) => (one.name < other.name ? -1 : 1));
    },
    async revoke(name) {
      const digest = await redis.hget(byName, name);
      const kept = digest === null ? undefined : await records.read(digest);
      if (digest === null || !kept || kept.record.revoked !== undefined) return false;
      const text = records.toText(digest, { ...kept.record, revoked: clock.now() });
      await redis.set(tokenKey(prefix, digest), text);
      return true;
    },
  };
}

/** When it was over, or will be; `undefined` where nobody knows. */
function endOf({ revoked, until, use }: ListedToken): number | undefined {
  const ends = [revoked, until, use?.enqueued ? use.at : undefined].filter(end => end !== undefined);
  return ends.length > 0 ? Math.min(...ends) : undefined;
}

const isOver = (token: ListedToken, now: number) => (endOf(token) ?? Number.POSITIVE_INFINITY) <= now;

/**
 * KEYS: the names, the new token, the one that had the name before, its use. ARGV: the name, the digest of
 * the one before, or '', the new digest, the record. Answers 0 where the name is another's meanwhile.
 */
const ADD = toScript(`
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
return 1`);

/** KEYS: the names, a token, its use. ARGV: its name, its digest. */
const REMOVE = toScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return redis.call('DEL', KEYS[2], KEYS[3])`);
