import type { Clock } from '../../shared/base/basics.ts';
import type { ManagedCertificate, RenewalIndex } from '../../shared/renewal/renewal-index.ts';

const BATCH = 200;
/** Most of a look is waiting, for the CA and for Redis. */
const AT_ONCE = 16;
const AFTER_DAMAGE = 3_600_000;

/**
 * Looks at every certificate that is due for it, once, the most urgent first.
 *
 * @param look saves what it found and when to look again; never rejects but with the signal's reason
 * @returns how many were looked at
 */
export async function renewDue(
  { index, clock }: { index: RenewalIndex; clock: Clock },
  look: (managed: ManagedCertificate) => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  const until = clock.now(); // what falls due from here on is the next run's
  const seen = new Set<string>();
  for (;;) {
    const ids = (await index.due(until, BATCH)).filter(id => !seen.has(id));
    if (ids.length === 0) return seen.size;
    const read = await index.read(ids);
    const found = read.filter(one => one !== undefined);
    // What cannot be read would else be due again at once.
    const unread = ids.filter((_, at) => read[at] === undefined);
    if (unread.length > 0) await index.putOff(unread, until + AFTER_DAMAGE);
    for (const id of ids) seen.add(id);
    for (let next = 0; next < found.length; next += AT_ONCE) {
      signal.throwIfAborted();
      await Promise.all(found.slice(next, next + AT_ONCE).map(look));
    }
  }
}
