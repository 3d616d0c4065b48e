import { LRUCache } from 'lru-cache';
import type { AdmittingBlock, AuthBlock } from '../admission/admit.ts';
import type { Clock, Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import { describeLeaf, readCertificate } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';
import type { StoredRenewals } from '../renewal/stored-renewals.ts';
import type { StoredCertificate } from '../storage/storage.ts';
import type { TrailEvent } from '../trail/event.ts';
import type { Trail } from '../trail/trail.ts';

// What is told of a certificate that was there already, when a client gets it.

/** Who asks: the address, and the request's id. */
export type Asker = { client: string; requestId: string };

type WhatItIs = Pick<TrailEvent, 'names' | 'serial' | 'fingerprint'>;

function toWhatItIs(chain: string, leaf: StoredCertificate['leaf']): WhatItIs {
  const { names, serial, fingerprint } = describeLeaf(chain, leaf);
  return { names, serial, fingerprint };
}

/** The event of a certificate that a client got which some other request has ordered. */
export function toHandedOut(
  { chain, account }: { chain: string; account?: string | undefined },
  { block, by, client, requestId, job }: Asker & { block: string; by?: string; job?: string },
  at: number,
): TrailEvent {
  const who = { block, by, client, request: requestId, job };
  return { at, event: 'handed-out', ...toWhatItIs(chain, readCertificate(chain)), account, ...who };
}

/**
 * Tells the trail of a hit. What a stored certificate is, is read once, as long as the storage remembers it.
 *
 * @throws IssuanceError `unavailable` where the trail is sealed, and Redis cannot be reached
 */
export function openHandOut(trail: Pick<Trail, 'write'>, clock: Clock) {
  const known = new WeakMap<StoredCertificate['leaf'], WhatItIs>();

  function describe({ chain, leaf }: StoredCertificate): WhatItIs {
    const last = known.get(leaf);
    if (last) return last;
    const what = toWhatItIs(chain, leaf);
    known.set(leaf, what);
    return what;
  }

  return (stored: StoredCertificate, { name: block, by }: AdmittingBlock, asker: Asker): Promise<void> => {
    const { client, requestId: request } = asker;
    const [at, what, account] = [clock.now(), describe(stored), stored.issuedBy?.account];
    return trail.write({ at, event: 'handed-out', ...what, account, block, by, client, request });
  };
}

const HOUR = 3_600_000;
const MOST_REMEMBERED = 10_000;

/**
 * Records that a client of a block fetched a stored certificate, as Quarry renews ahead only what is fetched;
 * once an hour is enough for that. The client does not wait for it, and a failed record is made up at the
 * next fetch.
 */
export function openFetchRecord(
  renewals: Pick<StoredRenewals, 'fetched'>,
  clock: Clock,
  log: Log,
): (block: AuthBlock, csr: CsrText) => void {
  const recorded = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  return ({ name, storage }, csr) => {
    const fetch = `${name} ${csr.digest}`;
    const now = clock.now();
    if (now - (recorded.get(fetch) ?? Number.NEGATIVE_INFINITY) < HOUR) return;
    recorded.set(fetch, now);
    renewals.fetched(storage, csr, name, now).catch(error => {
      recorded.delete(fetch);
      log.debug({ reason: describeError(error) }, 'fetch not recorded');
    });
  };
}
