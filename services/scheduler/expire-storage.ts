import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { ExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import type { Storage } from '../../shared/storage/storage.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const BATCH = 200;

/**
 * Removes what ended more than `keepExpired` days ago, a batch at a time. Stopped anywhere, the next run goes
 * on.
 *
 * @returns how many entries were removed
 */
export async function expireStorage(
  { name, upkeep }: Storage,
  keepExpired: number,
  { expiry, clock, log }: { expiry: ExpiryIndex; clock: Clock; log: Log },
  signal: AbortSignal,
): Promise<number> {
  if (!upkeep) return 0;
  const before = clock.now() - keepExpired * DAY;
  let removed = 0;
  for (;;) {
    const keys = await expiry.ended(name, before, BATCH);
    for (const key of keys) {
      signal.throwIfAborted();
      try {
        const end = await upkeep.expire(key, before);
        if (end !== undefined) await expiry.note(name, key, end);
        else await expiry.forget(name, key);
        if (end === undefined) removed++;
      } catch (error) {
        const isTold = isStorageFault(error);
        if (!isTold) {
          const reason = describeError(error);
          log.warn({ storage: name, key, reason }, 'an expired entry cannot be removed yet');
        }
        await expiry.note(name, key, before + (isTold ? HOUR : DAY)); // the others are not to wait for it
      }
    }
    if (keys.length < BATCH) break;
  }
  if (removed > 0) log.info({ storage: name, removed }, 'expired certificates removed');
  return removed;
}
