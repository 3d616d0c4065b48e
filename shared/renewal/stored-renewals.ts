import { renewalInfoId } from '../acme/renewal-info.ts';
import type { Store } from '../base/redis.ts';
import type { CsrText } from '../pki/csr.ts';
import { splitChain } from '../pki/pem.ts';
import type { KeptEntry } from '../storage/storage.ts';
import type { StorageConfig } from '../storage/storage-section.ts';
import { openExpiryIndex } from './expiry-index.ts';
import { type ManagedCertificate, openRenewalIndex } from './renewal-index.ts';
import { ownRandom, planRenewal } from './renewal-window.ts';

/** Renewal information is fetched right after issue, but not by all at the same moment. */
const FIRST_POLL = 5 * 60_000;
const FIRST_POLL_OF_FOUND = 6 * 3_600_000;

/** What the indexes are told of the certificates in storages; all times in milliseconds since the epoch. */
export type StoredRenewals = {
  /** A certificate was issued and is stored by now. `ahead`: nobody had asked for it. */
  issued(
    storage: string,
    entry: KeptEntry,
    how: { block: string; ahead: boolean },
    now: number,
  ): Promise<void>;
  /** An entry turned up in this place that may be new to the index of what is renewed. */
  found(storage: string, place: string, entry: KeptEntry, now: number): Promise<void>;
  /** A client of this auth block got the certificate. */
  fetched(storage: string, csr: CsrText, block: string, now: number): Promise<void>;
  /** An entry in this place was removed, as its certificate was revoked. */
  revoked(storage: string, place: string, entry: KeptEntry): Promise<void>;
};

export const storedId = (storage: string, csr: CsrText) => `stored/${storage}/${csr.digest}`;

/** Where the entry of a stored certificate is. */
export function placeOf({ id, place }: ManagedCertificate): { storage: string; key: string } {
  const [, storage = '', digest = ''] = /^stored\/(.*)\/([^/]*)$/s.exec(id) ?? [];
  return { storage, key: place ?? digest };
}

export function openStoredRenewals(
  storages: ReadonlyMap<string, StorageConfig>,
  store: Store,
): StoredRenewals {
  const index = openRenewalIndex(store);
  const expiry = openExpiryIndex(store);
  /** Days, of a storage that renews ahead. */
  const renewWithin = (storage: string) => {
    const config = storages.get(storage);
    return config && config.type !== 'none' && config.renewAhead ? config.renewWithin : undefined;
  };

  return {
    async issued(storage, entry, { block, ahead }, now) {
      const days = renewWithin(storage);
      if (days !== undefined) {
        const id = storedId(storage, entry.csr);
        if (!ahead) await index.fetched(id, { at: now, block });
        await index.add(toManaged(id, entry, days, ahead), now + Math.random() * FIRST_POLL);
      }
      await expiry.note(storage, entry.csr.digest, entry.leaf.notAfter);
    },
    async found(storage, place, entry, now) {
      const days = renewWithin(storage);
      if (days === undefined || entry.leaf.notAfter <= now) return;
      const id = storedId(storage, entry.csr);
      const [end] = await index.ends([id]);
      if (end !== undefined && end >= entry.leaf.notAfter) return; // macen may have kept an older one elsewhere
      const managed = { ...toManaged(id, entry, days, false), place };
      await index.add(managed, Math.min(managed.plan.at, now + Math.random() * FIRST_POLL_OF_FOUND));
    },
    async fetched(storage, csr, block, now) {
      if (renewWithin(storage) !== undefined) await index.fetched(storedId(storage, csr), { at: now, block });
    },
    async revoked(storage, place, entry) {
      await expiry.forget(storage, place);
      const id = storedId(storage, entry.csr);
      const [managed] = await index.read([id]);
      if (managed?.certificate === toName(entry)) await index.remove(id); // not that of a successor
    },
  };
}

/** What tells a certificate from its successor. */
function toName({ chain, leaf }: KeptEntry): string {
  return renewalInfoId(splitChain(chain)[0] ?? '') ?? `ends ${leaf.notAfter}`;
}

function toManaged(id: string, entry: KeptEntry, days: number, ahead: boolean): ManagedCertificate {
  const { chain, leaf } = entry;
  const { notBefore, notAfter, identifiers } = leaf;
  const infoId = renewalInfoId(splitChain(chain)[0] ?? '');
  const info = { none: infoId ? 'the CA was not asked yet' : 'the certificate does not name its issuer key' };
  const certificate = toName(entry);
  const facts = { life: leaf, info, days, spread: true, random: ownRandom(id + certificate) };
  return {
    ...{ id, certificate, named: infoId !== undefined, names: identifiers.map(({ value }) => value) },
    ...{ notBefore, notAfter, info, poll: infoId ? 0 : undefined, pollFailures: 0, ahead, looked: false },
    plan: planRenewal(facts),
  };
}
