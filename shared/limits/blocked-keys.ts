import type { Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import { closeRedis, openRedis } from '../base/open-redis.ts';
import type { Store } from '../base/redis.ts';
import type { RedisAddress } from '../base/redis-address.ts';
import { runAll } from '../base/refusals.ts';
import { blockedKey } from './limits.ts';
import { type BlockedKey, parseBlock, parseBlocked } from './standing-limit.ts';

/** Public keys that get no certificate any more, by their `keyDigest`; the whole fleet knows them. */
export type BlockedKeys = {
  /** Blocks a key for good. One that is blocked already keeps its reason and its time. */
  block(publicKey: string, why: BlockedKey): Promise<void>;
  /** @returns whether it was blocked */
  unblock(publicKey: string): Promise<boolean>;
  /** @throws IssuanceError `misconfigured` where what Redis holds is damaged */
  find(publicKey: string): Promise<BlockedKey | undefined>;
  /** One that is damaged is blocked as well, and hides no other. */
  list(): Promise<Map<string, BlockedKey>>;
};

/** In Redis the digests are a set, for the list, and why each is blocked has a key of its own, for orders. */
export function openBlockedKeys(store: Store): BlockedKeys {
  const { redis } = store;
  const all = `${store.prefix}:blocked-keys`;

  async function read(publicKeys: string[], parse: typeof parseBlock): Promise<[string, BlockedKey][]> {
    if (publicKeys.length === 0) return [];
    const keys = publicKeys.map(one => blockedKey(store, one));
    const values = await redis.mget(keys);
    return values.flatMap((text, at) =>
      text ? [[publicKeys[at] ?? '', parse({ key: keys[at] ?? '', text })]] : [],
    );
  }

  return {
    async block(publicKey, why) {
      await runAll(redis, changes =>
        changes
          .set(blockedKey(store, publicKey), JSON.stringify(why), 'NX')
          .sadd(all, publicKey)
          .publish(channelOf(store), publicKey),
      );
    },
    async unblock(publicKey) {
      const [known] = await runAll(redis, changes =>
        changes.srem(all, publicKey).del(blockedKey(store, publicKey)).publish(channelOf(store), publicKey),
      );
      return known === 1;
    },
    find: async publicKey => (await read([publicKey], parseBlocked))[0]?.[1],
    list: async () => new Map(await read(await redis.smembers(all), parseBlock)),
  };
}

const channelOf = ({ prefix }: Pick<Store, 'prefix'>) => `${prefix}:blocked-keys`;

/** What is published while Redis is away is lost. Milliseconds. */
const LOOK_AGAIN = 10_000;

/**
 * Has the blocked keys at hand, so that what asks Redis for nothing need not ask for these either: all of
 * them a moment after the start, and each change a moment after it was made.
 */
export function watchBlockedKeys(
  store: Store,
  { redisAddress, log }: { redisAddress: RedisAddress; log: Log },
): Disposable & { known: ReadonlyMap<string, BlockedKey> } {
  const known = new Map<string, BlockedKey>();
  const keys = openBlockedKeys(store);
  const connection = openRedis(redisAddress, 'patient', log.child({}, { level: 'silent' }));

  async function load() {
    const found = await keys.list();
    known.clear();
    for (const [publicKey, why] of found) known.set(publicKey, why);
  }

  const reload = () =>
    load().catch(error => log.debug({ reason: describeError(error) }, 'blocked keys cannot be read'));
  connection.on('message', reload);
  connection.on('ready', () => void connection.subscribe(channelOf(store)).then(reload, () => {}));
  const timer = setInterval(reload, LOOK_AGAIN);
  timer.unref();
  return {
    known,
    [Symbol.dispose]() {
      clearInterval(timer);
      closeRedis(connection);
    },
  };
}
