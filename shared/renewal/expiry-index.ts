import type { Store } from '../base/redis.ts';

/**
 * When the certificates in storages end, by storage and key of the entry: what has expired is found without a
 * search.
 */
export type ExpiryIndex = {
  /** @param notAfter milliseconds since the epoch */
  note(storage: string, key: string, notAfter: number): Promise<void>;
  noteAll(storage: string, ends: readonly { key: string; notAfter: number }[]): Promise<void>;
  forget(storage: string, key: string): Promise<void>;
  /** Keys of entries whose certificates ended before `before`. */
  ended(storage: string, before: number, limit: number): Promise<string[]>;
  /** Keys of entries whose certificates end at this very time. */
  endingAt(storage: string, notAfter: number): Promise<string[]>;
  /** Those of `keys` that are not known yet. */
  unknown(storage: string, keys: string[]): Promise<string[]>;
  count(storage: string): Promise<number>;
};

export function openExpiryIndex({ redis, prefix }: Store): ExpiryIndex {
  const setOf = (storage: string) => `${prefix}:expiry:${storage}`;
  return {
    note: async (storage, key, notAfter) => {
      await redis.zadd(setOf(storage), notAfter, key);
    },
    async noteAll(storage, ends) {
      if (ends.length > 0)
        await redis.zadd(setOf(storage), ...ends.flatMap(({ key, notAfter }) => [notAfter, key]));
    },
    forget: async (storage, key) => {
      await redis.zrem(setOf(storage), key);
    },
    ended: (storage, before, limit) =>
      redis.zrangebyscore(setOf(storage), '-inf', `(${before}`, 'LIMIT', 0, limit),
    endingAt: (storage, notAfter) => redis.zrangebyscore(setOf(storage), notAfter, notAfter),
    async unknown(storage, keys) {
      if (keys.length === 0) return [];
      const scores = await redis.zmscore(setOf(storage), ...keys);
      return keys.filter((_, index) => scores[index] === null);
    },
    count: storage => redis.zcard(setOf(storage)),
  };
}
