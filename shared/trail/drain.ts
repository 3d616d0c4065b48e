import type { Store } from '../base/redis.ts';
import { isBefore, parseEntry, type TrailEntry } from './event.ts';
import { trailKey } from './trail.ts';

/** What the events are handed to. */
export type TrailConsumer = {
  /** One word; how far it came is kept under it. */
  name: string;
  /**
   * Takes entries in their order. Each comes at least once: again, where the process ends before it is known
   * that this has returned.
   *
   * @param oldest the first entry that is still in the stream
   */
  take(entries: readonly TrailEntry[], oldest: string): Promise<void>;
};

type Drained = {
  /** Why consumers have not taken all, by their names. */
  failed: Map<string, unknown>;
};

const BATCH = 1_000;
const FIRST = '0-0';
const cursorsKey = (prefix: string) => `${prefix}:trail-cursors`;

/**
 * Hands what is in the stream to each consumer, and takes from the stream what all have; the last entry that
 * all have stays, so that one that left by another way is missed. One consumer's failure holds up no other.
 *
 * @param keep how many entries stay in the stream all the same, about
 */
export async function drainTrail(
  { redis, prefix }: Store,
  { consumers, keep }: { consumers: readonly TrailConsumer[]; keep: number },
  signal: AbortSignal,
): Promise<Drained> {
  const known = await redis.hgetall(cursorsKey(prefix));
  const failed = new Map<string, unknown>();
  const reached: string[] = [];
  for (const consumer of consumers) {
    const from = known[consumer.name] ?? FIRST;
    const { cursor, error } = await handOver({ redis, prefix }, consumer, from, signal);
    if (error !== undefined) failed.set(consumer.name, error);
    reached.push(cursor);
  }
  const left = Object.keys(known).filter(name => !consumers.some(one => one.name === name));
  if (left.length > 0) await redis.hdel(cursorsKey(prefix), ...left);
  await trim({ redis, prefix }, reached, keep);
  return { failed };
}

async function handOver(
  { redis, prefix }: Store,
  { name, take }: TrailConsumer,
  from: string,
  signal: AbortSignal,
): Promise<{ cursor: string; error?: unknown }> {
  for (let cursor = from; ; ) {
    signal.throwIfAborted();
    const found = await redis.xrange(trailKey(prefix), `(${cursor}`, '+', 'COUNT', BATCH);
    const last = found.at(-1)?.[0];
    if (last === undefined) return { cursor };
    const [first = found[0]] = await redis.xrange(trailKey(prefix), '-', '+', 'COUNT', 1);
    try {
      await take(
        found.flatMap(([id, fields]) => parseEntry(id, fields)),
        first?.[0] ?? last,
      );
    } catch (error) {
      return { cursor, error };
    }
    await redis.hset(cursorsKey(prefix), name, last);
    cursor = last;
  }
}

async function trim({ redis, prefix }: Store, reached: readonly string[], keep: number): Promise<void> {
  const key = trailKey(prefix);
  const least = reached.reduce<string | undefined>(
    (least, one) => (least === undefined || isBefore(one, least) ? one : least),
    undefined,
  );
  if (least !== undefined && keep === 0) return void (await redis.xtrim(key, 'MINID', least));
  const [newest] = await redis.xrevrange(key, '+', '-', 'COUNT', 1);
  const isTaken = least === undefined || (newest !== undefined && !isBefore(least, newest[0]));
  if (isTaken) await redis.xtrim(key, 'MAXLEN', '~', keep);
}

/**
 * Since when events wait for a consumer, and how many there are about; `undefined` where it has all. While a
 * clock that was ahead is being caught up with, the ids of entries say nothing of when they were written.
 */
export async function findWaiting(
  { redis, prefix }: Store,
  consumer: string,
): Promise<{ since: number; count: number } | undefined> {
  const key = trailKey(prefix);
  const cursor = (await redis.hget(cursorsKey(prefix), consumer)) ?? FIRST;
  const [first] = await redis.xrange(key, `(${cursor}`, '+', 'COUNT', 1);
  if (!first) return undefined;
  const [id, fields] = first;
  const times = [Number(id.split('-')[0]), ...parseEntry(id, fields).flatMap(({ event }) => event?.at ?? [])];
  return { since: Math.min(...times), count: await redis.xlen(key) };
}
