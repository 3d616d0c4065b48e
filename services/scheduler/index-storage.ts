import type { Clock, Log } from '../../shared/base/basics.ts';
import type { Store } from '../../shared/base/redis.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { ExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Storage, Upkeep } from '../../shared/storage/storage.ts';
import { type InventoryFoundParts, inventoryFound } from './inventory-found.ts';

/** How many entries are read at once, and written; the event loop is others' too. */
const AT_ONCE = 50;

/**
 * Looks through a storage for entries that no index knows: macen's, those of an earlier version of Quarry,
 * and all of them after Redis has lost its data. Only what is unknown is read, but for the first time after
 * `purpose` has changed, as what is known may have been noted for less. Stopped anywhere, the next run goes
 * on from there.
 *
 * @param purpose words for what the entries are indexed for
 * @returns how many entries were new
 * @throws IssuanceError `unavailable` once all else is indexed, where an entry cannot be read
 */
export async function indexStorage(
  { name, upkeep }: Storage,
  purpose: string,
  parts: InventoryFoundParts & {
    store: Store;
    expiry: ExpiryIndex;
    renewals: StoredRenewals;
    clock: Clock;
    log: Log;
  },
  signal: AbortSignal,
): Promise<number> {
  if (!upkeep) return 0;
  const {
    store: { redis, prefix },
    expiry,
    log,
  } = parts;
  const state = `${prefix}:indexing:${name}`;
  const { done, going, at = '' } = await redis.hgetall(state);
  let [added, unread]: [number, unknown] = [0, undefined];
  const from = going === purpose && /^[0-9a-f]*$/.test(at) ? at : ''; // a damaged place is begun anew
  for (let cursor: string | undefined = from; cursor !== undefined; ) {
    const part: Awaited<ReturnType<Upkeep['keys']>> = await upkeep.keys(cursor);
    const unknown = done === purpose ? await expiry.unknown(name, part.keys) : part.keys;
    for (let index = 0; index < unknown.length; index += AT_ONCE) {
      signal.throwIfAborted();
      const found = await addEntries(name, upkeep, unknown.slice(index, index + AT_ONCE), parts);
      added += found.added;
      unread ??= found.unread;
    }
    signal.throwIfAborted();
    cursor = part.cursor;
    await redis.hset(state, { going: purpose, at: cursor ?? '' });
  }
  if (!unread) await redis.hset(state, { done: purpose });
  if (added > 0) log.info({ storage: name, added }, 'stored certificates indexed that were not');
  if (unread) throw unread;
  return added;
}

/** @returns how many there are, and why one of them cannot be read */
async function addEntries(
  storage: string,
  upkeep: Upkeep,
  places: readonly string[],
  parts: InventoryFoundParts & { renewals: StoredRenewals; clock: Clock },
): Promise<{ added: number; unread: unknown }> {
  let unread: unknown;
  const passOver = (error: unknown) => {
    if (!isStorageFault(error)) throw error;
    unread = error;
    return undefined;
  };
  const readAt = async (place: string) => ({ place, entry: await upkeep.read(place).catch(passOver) });
  const read = await Promise.all(places.map(readAt));
  const found = read.flatMap(({ place, entry }) => (entry ? [{ place, entry }] : []));
  const now = parts.clock.now();
  await inventoryFound(
    parts,
    storage,
    found.map(({ entry }) => entry),
    now,
  );
  await parts.renewals.found(storage, found, now); // last: what its index knows is not looked at again
  return { added: found.length, unread };
}
