import { LRUCache } from 'lru-cache';
import type { AuthBlock } from '../../shared/admission/admit.ts';
import type { Clock } from '../../shared/base/clock.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import type { CsrText } from '../../shared/pki/csr.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';

const HOUR = 3_600_000;
const MOST_REMEMBERED = 10_000;

/** Notes that a client got a stored certificate; nobody waits for it, and what cannot be noted now is noted next time. */
export type NoteFetch = (block: AuthBlock, csr: CsrText) => void;

/** Whether it is fetched at all is what renewing ahead goes by, so that once an hour is enough. */
export function openNoteFetch(
  renewals: StoredRenewals,
  { clock, log }: { clock: Clock; log: Log },
): NoteFetch {
  const noted = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  return ({ name, storage }, csr) => {
    const what = `${name} ${csr.digest}`;
    const now = clock.now();
    if (now - (noted.get(what) ?? Number.NEGATIVE_INFINITY) < HOUR) return;
    noted.set(what, now);
    renewals.fetched(storage, csr, name, now).catch(error => {
      noted.delete(what);
      log.debug({ reason: describeError(error) }, 'a fetch cannot be noted');
    });
  };
}
