import { isStorageFault } from '../../shared/base/storage-faults.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import type { ExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Unstored } from '../../shared/renewal/unstored.ts';
import type { KeptEntry, Storage, Upkeep } from '../../shared/storage/storage.ts';
import { isChainOf } from '../../shared/storage/stored-entry.ts';

/** How many entries are looked at at once; the event loop is others' too. */
const AT_ONCE = 8;

export type StoragesParts = {
  storages: Map<string, Storage>;
  expiry: Pick<ExpiryIndex, 'endingAt'>;
  renewals: Pick<StoredRenewals, 'revoked'>;
  unstored: Pick<Unstored, 'list' | 'drop'>;
};

/**
 * Removes the entry of a certificate from the storage that has it. Entries are found by their CSRs, so the
 * index by their ends says where to look first; where it knows nothing, as of macen's entries, all of them
 * are looked through.
 *
 * @param certificate PEM, as `splitChain` gives it
 * @returns the names of the storages that had it
 * @throws IssuanceError `unavailable` where something could not be read that may be it; all else is removed
 */
export async function removeFromStorages(
  { storages, expiry, renewals, unstored }: StoragesParts,
  certificate: string,
  signal: AbortSignal,
): Promise<string[]> {
  const { notAfter } = readCertificate(certificate);
  const keeping = [...storages.values()].flatMap(({ name, upkeep }) => (upkeep ? [{ name, upkeep }] : []));
  await dropUnstored(unstored, storages.keys(), certificate);
  const faults: unknown[] = [];
  const noteFault = (error: unknown) => {
    if (!isStorageFault(error)) throw error;
    faults.push(error);
    return undefined;
  };
  const removeAmong = async ({ name, upkeep }: Keeping, keys: string[]) => {
    const remove = (key: string) => upkeep.remove(key, certificate).catch(noteFault);
    const gone = await removeEach(remove, keys, signal);
    for (const { key, entry } of gone) await renewals.revoked(name, key, entry);
    return gone.length > 0;
  };
  const known = await filter(keeping, async one =>
    removeAmong(one, await expiry.endingAt(one.name, notAfter)),
  );
  const found =
    known.length > 0 || faults.length > 0
      ? known
      : await filter(keeping, async one => (await anyPart(one, removeAmong).catch(noteFault)) ?? false);
  if (faults.length > 0) throw faults[0];
  return found.map(({ name }) => name);
}

/** Else it would be stored later. */
async function dropUnstored(
  unstored: StoragesParts['unstored'],
  storages: Iterable<string>,
  certificate: string,
): Promise<void> {
  for (const name of storages)
    for (const entry of await unstored.list(name))
      if (isChainOf(certificate, entry.chain)) await unstored.drop(name, entry);
}

type Keeping = { name: string; upkeep: Upkeep };

async function filter(all: Keeping[], holds: (one: Keeping) => Promise<boolean>): Promise<Keeping[]> {
  const held: Keeping[] = [];
  for (const one of all) if (await holds(one)) held.push(one);
  return held;
}

/** @returns the entries that were removed */
async function removeEach(
  remove: (key: string) => Promise<KeptEntry | undefined>,
  keys: string[],
  signal: AbortSignal,
) {
  const gone: { key: string; entry: KeptEntry }[] = [];
  for (let index = 0; index < keys.length; index += AT_ONCE) {
    signal.throwIfAborted();
    const some = keys.slice(index, index + AT_ONCE);
    const removed = await Promise.all(some.map(remove));
    removed.forEach((entry, at) => {
      if (entry) gone.push({ key: some[at] ?? '', entry });
    });
  }
  return gone;
}

/** To the end, as macen keeps a certificate once for each spelling of its CSR. */
async function anyPart(
  one: Keeping,
  remove: (one: Keeping, keys: string[]) => Promise<boolean>,
): Promise<boolean> {
  let any = false;
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const part: Awaited<ReturnType<Upkeep['keys']>> = await one.upkeep.keys(cursor);
    if (await remove(one, part.keys)) any = true;
    cursor = part.cursor;
  }
  return any;
}
