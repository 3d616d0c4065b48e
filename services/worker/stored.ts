import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { isIssuedFor } from '../../shared/storage/issued-for.ts';
import type { Storage, StoredCertificate } from '../../shared/storage/storage.ts';
import { patienceOf, type SignRun } from './job.ts';
import { tryToStore } from './keep-unstored.ts';
import { mayHaveToo } from './other-names.ts';

// What the storage of a job's block has for the job.

/** Milliseconds after which a storage that cannot be read is looked at again, where a client waits. */
const STORAGE_RETRY = 2_000;
/** The same of a renewal, of which thousands may wait for weeks. */
const RENEWAL_RETRY = 600_000;

/**
 * Never answer a renewal with the certificate it replaces, nor a block with what the CA gave another one
 * besides. What the storage did not take counts as stored, and is stored now if that works.
 *
 * @param sealed what Redis keeps that the storage did not take
 * @returns `readAgain`: when to look again, in milliseconds since the epoch, as the storage cannot be read
 *   now and its certificate must not be ordered twice
 * @throws IssuanceError `unavailable` where it cannot be read, and nobody waits any more
 */
export async function findStored(
  run: SignRun,
  storage: Storage,
  sealed: string | null | undefined,
): Promise<{ stored?: StoredCertificate | undefined; readAgain?: number }> {
  const { parts, job, csr } = run;
  const { due, accounts, identifiers } = job.data;
  const all = [...parts.cas.values()].map(({ name, directoryUrl }) => ({
    account: name,
    directory: directoryUrl,
  }));
  const wanted = all.filter(one => accounts.some(({ account }) => account === one.account));
  const isGood = (one: Identifier) =>
    identifiers.some(({ type, value }) => type === one.type && value === one.value) || mayHaveToo(run, one);
  const isUsable = (found: StoredCertificate) =>
    found.leaf.identifiers.every(isGood) && isIssuedFor(found, wanted, all);
  const isNewer = ({ leaf }: StoredCertificate) => due === undefined || leaf.notAfter > due;
  const unstored = parts.unstored.parse(storage.name, csr.digest, sealed);
  const kept = unstored && isUsable(unstored) && isNewer(unstored) ? unstored : undefined;
  try {
    const stored = await storage.get(csr, isUsable);
    if (stored && isNewer(stored)) return { stored };
    if (kept) await tryToStore(run, storage, kept);
    return { stored: kept };
  } catch (error) {
    if (kept) return { stored: kept };
    const now = parts.clock.now();
    if (!isStorageFault(error) || now >= patienceOf(job)) throw error;
    return { readAgain: now + (due === undefined ? STORAGE_RETRY : RENEWAL_RETRY) };
  }
}

/**
 * A post of a CSR whose stored certificate is about to expire renews it, and CAs like to know (RFC 9773
 * section 5).
 */
export async function findReplaced(
  { parts, csr }: SignRun,
  { upkeep }: Storage,
  ca: Ca,
): Promise<string | undefined> {
  const kept = await upkeep?.read(upkeep.keyOf(csr));
  if (!kept || kept.leaf.notAfter <= parts.clock.now()) return undefined;
  const isIssuer = kept.issuedBy ? kept.issuedBy.directory === ca.directoryUrl : true;
  return isIssuer ? renewalInfoId(kept.chain) : undefined;
}
