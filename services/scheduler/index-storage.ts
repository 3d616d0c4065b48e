import type { Clock } from '../../shared/base/clock.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Redis } from '../../shared/base/redis.ts';
import type { ExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Storage, Upkeep } from '../../shared/storage/storage.ts';

/** How many entries are read at once; the event loop is others' too. */
const AT_ONCE = 8;

/**
 * Looks through a storage for entries that no index knows: macen's, those of an earlier version of Quarry, and all of
 * them after Redis has lost its data. Only what is unknown is read. Stopped anywhere, the next run goes on from there.
 *
 * @returns how many entries were new
 */
export async function indexStorage(
  { name, upkeep }: Storage,
  parts: { redis: Redis; prefix: string; expiry: ExpiryIndex; renewals: StoredRenewals; clock: Clock; log: Log },
  signal: AbortSignal,
): Promise<number> {
  if (!upkeep) return 0;
  const { redis, prefix, expiry, log } = parts;
  const place = `${prefix}:indexing:${name}`;
  let added = 0;
  for (let cursor: string | undefined = (await redis.get(place)) ?? ''; cursor !== undefined; ) {
    const part: Awaited<ReturnType<Upkeep['keys']>> = await upkeep.keys(cursor);
    const unknown = await expiry.unknown(name, part.keys);
    for (let index = 0; index < unknown.length; index += AT_ONCE) {
      signal.throwIfAborted();
      const found = await Promise.all(
        unknown.slice(index, index + AT_ONCE).map(key => addEntry(name, upkeep, key, parts)),
      );
      added += found.filter(Boolean).length;
    }
    signal.throwIfAborted();
    cursor = part.cursor;
    await (cursor === undefined ? redis.del(place) : redis.set(place, cursor));
  }
  if (added > 0) log.info({ storage: name, added }, 'stored certificates found that were not indexed');
  return added;
}

async function addEntry(
  storage: string,
  upkeep: Upkeep,
  key: string,
  { expiry, renewals, clock }: { expiry: ExpiryIndex; renewals: StoredRenewals; clock: Clock },
): Promise<boolean> {
  const entry = await upkeep.read(key);
  if (!entry) return false;
  await renewals.found(storage, key, entry, clock.now());
  await expiry.note(storage, key, entry.leaf.notAfter); // last: what it knows is not looked at again
  return true;
}
