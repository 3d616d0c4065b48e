import type { Clock, Log } from '../../shared/base/basics.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { storageSubject, storeKept, type Unstored } from '../../shared/renewal/unstored.ts';
import type { Storage } from '../../shared/storage/storage.ts';

/**
 * Stores what a storage did not take when it was issued. As soon as one is not taken again, the rest waits
 * for the next run: the storage has told of it.
 *
 * @returns how many are stored, or of no use any more
 */
export async function storeUnstored(
  parts: {
    unstored: Unstored;
    renewals: Pick<StoredRenewals, 'found'>;
    notices: Pick<Notices, 'ended'>;
    clock: Clock;
    log: Log;
  },
  storage: Storage,
  signal: AbortSignal,
): Promise<number> {
  const { unstored, notices, log } = parts;
  const entries = await unstored.list(storage.name);
  let stored = 0;
  try {
    for (const entry of entries) {
      signal.throwIfAborted();
      await storeKept(parts, storage, entry);
      stored++;
    }
  } catch (error) {
    if (!isStorageFault(error)) throw error;
    return stored;
  }
  if (stored === 0) return 0;
  await notices.ended(storageSubject(storage.name), ['storage-failed']);
  log.info({ storage: storage.name, stored }, 'certificates stored that could not be before');
  return stored;
}
