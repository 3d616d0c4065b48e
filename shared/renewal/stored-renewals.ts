import { renewalInfoId } from '../acme/renewal-info.ts';
import type { Store } from '../base/redis.ts';
import type { CsrText } from '../pki/csr.ts';
import type { KeptEntry } from '../storage/storage.ts';
import type { KeepingConfig, StorageConfig } from '../storage/storage-section.ts';
import { openExpiryIndex } from './expiry-index.ts';
import { openNewestIndex } from './newest-index.ts';
import {
  type FoundCertificate,
  type LastFetch,
  type ManagedCertificate,
  openRenewalIndex,
} from './renewal-index.ts';
import { ownRandom, planRenewal, type RenewalPlan } from './renewal-window.ts';

/** Renewal information is fetched right after issue, but not by all at the same moment. */
const FIRST_POLL = 5 * 60_000;
const FIRST_POLL_OF_FOUND = 6 * 3_600_000;

/** Keeps the indexes of the certificates in storages; all times in milliseconds since the epoch. */
export type StoredRenewals = {
  /**
   * A certificate was issued and is stored by now. `ahead`: no client had asked for it; `refused`: the
   * accounts that did not issue it, and why.
   */
  issued(
    storage: string,
    entry: KeptEntry,
    how: { block: string; ahead: boolean; refused?: ManagedCertificate['refused'] },
    now: number,
  ): Promise<void>;
  /** Entries turned up that may be new to the indexes, or are to be renewed only now. */
  found(storage: string, entries: readonly FoundEntry[], now: number): Promise<void>;
  /** A client of this auth block got the certificate. */
  fetched(storage: string, csr: CsrText, block: string, now: number): Promise<void>;
  /** An entry in this place was removed, as its certificate was revoked. */
  revoked(storage: string, place: string, entry: KeptEntry): Promise<void>;
};

/** An entry, and its place in its storage. */
type FoundEntry = { place: string; entry: KeptEntry };

export const storedId = (storage: string, csr: CsrText) => `stored/${storage}/${csr.digest}`;

/** Where the entry of a stored certificate is. */
export function placeOf({ id, place }: Pick<ManagedCertificate, 'id' | 'place'>): {
  storage: string;
  key: string;
} {
  const [, storage = '', digest = ''] = /^stored\/(.*)\/([^/]*)$/s.exec(id) ?? [];
  return { storage, key: place ?? digest };
}

export function openStoredRenewals(
  storages: ReadonlyMap<string, StorageConfig>,
  store: Store,
): StoredRenewals {
  const index = openRenewalIndex(store);
  const expiry = openExpiryIndex(store);
  const newest = openNewestIndex(store);
  const keepingOf = (storage: string) => {
    const config = storages.get(storage);
    return config?.type === 'none' ? undefined : config;
  };

  async function addFound(
    storage: string,
    entries: readonly FoundEntry[],
    keeping: KeepingConfig,
    now: number,
  ) {
    const ids = entries.map(({ entry }) => storedId(storage, entry.csr));
    const known = new Map((await index.read([...new Set(ids)])).map(one => [one?.id, one]));
    const found = latestOfEach(entries, storage).flatMap(one => {
      const id = storedId(storage, one.entry.csr);
      const soon = now + Math.random() * FIRST_POLL_OF_FOUND;
      return toFound(id, one, known.get(id), keeping, soon) ?? [];
    });
    await index.addFound(found);
  }

  async function noteManaged(
    storage: string,
    keeping: KeepingConfig,
    entry: KeptEntry,
    { block, ahead, refused }: Parameters<StoredRenewals['issued']>[2],
    now: number,
  ): Promise<void> {
    const id = storedId(storage, entry.csr);
    const managed = { ...toManaged(id, entry, keeping, ahead), refused };
    await Promise.all([
      !ahead && index.fetched(id, { at: now, block }),
      index.add(managed, now + Math.random() * FIRST_POLL),
      newest.note({ block, storage, names: managed.names }, { id, at: now }, ahead),
    ]);
  }

  return {
    async issued(storage, entry, how, now) {
      const keeping = keepingOf(storage);
      await Promise.all([
        expiry.note(storage, entry.csr.digest, entry.leaf.notAfter),
        keeping && noteManaged(storage, keeping, entry, how, now),
      ]);
    },
    async found(storage, entries, now) {
      const keeping = keepingOf(storage);
      const living = entries.filter(({ entry }) => entry.leaf.notAfter > now);
      if (keeping) await addFound(storage, living, keeping, now);
      // Last: what the expiry index knows is not looked at again.
      const ends = entries.map(({ place, entry }) => ({ key: place, notAfter: entry.leaf.notAfter }));
      await expiry.noteAll(storage, ends);
    },
    async fetched(storage, csr, block, now) {
      if (keepingOf(storage)) await index.fetched(storedId(storage, csr), { at: now, block });
    },
    async revoked(storage, place, entry) {
      await expiry.forget(storage, place);
      const id = storedId(storage, entry.csr);
      const [managed] = await index.read([id]);
      if (managed?.certificate === toName(entry)) await index.remove(id); // not that of a successor
    },
  };
}

/** @param days of its storage's renew-within */
export function planStored(managed: ManagedCertificate, days: number): RenewalPlan {
  const { info, failures, id, certificate, reissue: wanted } = managed;
  const random = ownRandom(id + certificate);
  return planRenewal({
    life: managed,
    info,
    days,
    spread: true,
    random,
    wanted,
    ...(failures && { failures }),
  });
}

/** Whether a client got the certificate since it was issued. */
export const isFetched = (
  { notBefore }: Pick<ManagedCertificate, 'notBefore'>,
  fetched: LastFetch | undefined,
) => fetched !== undefined && fetched.at >= notBefore;

/** Of several entries for the same CSR the one that ends last: macen may have kept older ones elsewhere. */
function latestOfEach(entries: readonly FoundEntry[], storage: string): FoundEntry[] {
  const inOrder = entries.toSorted((one, other) => one.entry.leaf.notAfter - other.entry.leaf.notAfter);
  return [...new Map(inOrder.map(one => [storedId(storage, one.entry.csr), one])).values()];
}

/** @returns `undefined` where the index needs nothing of it */
function toFound(
  id: string,
  { place, entry }: FoundEntry,
  known: ManagedCertificate | undefined,
  keeping: KeepingConfig,
  soon: number,
): FoundCertificate | undefined {
  const at = (managed: ManagedCertificate) => Math.min(managed.plan.at, soon);
  if (!known || known.notAfter < entry.leaf.notAfter) {
    const managed = { ...toManaged(id, entry, keeping, false), place };
    return { managed, at: at(managed), known };
  }
  if (known.renews === keeping.renewAhead) return undefined;
  return { managed: { ...known, renews: keeping.renewAhead }, at: at(known), known };
}

/** Whether an entry holds another certificate than the index knows of. */
export function isOfAnother({ leaf }: KeptEntry, managed: ManagedCertificate): boolean {
  return leaf.notAfter !== managed.notAfter || leaf.notBefore !== managed.notBefore;
}

const infoIdOf = ({ chain, der }: KeptEntry) => renewalInfoId(der ?? chain);

/** Differs between a certificate and its successor. */
const toName = (entry: KeptEntry, infoId = infoIdOf(entry)) => infoId ?? `ends ${entry.leaf.notAfter}`;

/** A certificate of which nothing is known but what its entry says. `ahead`: no client had asked for it. */
export function toManaged(
  id: string,
  entry: KeptEntry,
  { renewWithin: days, renewAhead: renews }: Pick<KeepingConfig, 'renewWithin' | 'renewAhead'>,
  ahead: boolean,
): ManagedCertificate {
  const { leaf } = entry;
  const { notBefore, notAfter, identifiers } = leaf;
  const infoId = infoIdOf(entry);
  const info = { none: infoId ? 'the CA was not asked yet' : 'the certificate does not name its issuer key' };
  const certificate = toName(entry, infoId);
  const facts = { life: leaf, info, days, spread: true, random: ownRandom(id + certificate) };
  return {
    id,
    certificate,
    issuedBy: entry.issuedBy,
    renews,
    named: infoId !== undefined,
    names: identifiers.map(({ value }) => value),
    notBefore,
    notAfter,
    info,
    poll: infoId ? 0 : undefined,
    pollFailures: 0,
    ahead,
    looked: false,
    plan: planRenewal(facts),
  };
}
