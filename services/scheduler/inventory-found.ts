import { type InventoryEntry, toEntry } from '../../shared/inventory/entry.ts';
import type { InventoryWriter } from '../../shared/inventory/writer.ts';
import { decodePem } from '../../shared/pki/certificate.ts';
import type { LastFetch, RenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { isFetched, storedId } from '../../shared/renewal/stored-renewals.ts';
import type { KeptEntry } from '../../shared/storage/storage.ts';

export type InventoryFoundParts = {
  inventory: Pick<InventoryWriter, 'addFound' | 'note'>;
  index: Pick<RenewalIndex, 'lastFetches'>;
};

/**
 * Takes what is in a storage into the inventory, as far as that does not know it: certificates of macen and
 * of earlier versions of Quarry, and all of them after Redis has lost its data.
 *
 * @param now milliseconds since the epoch
 */
export async function inventoryFound(
  { inventory, index }: InventoryFoundParts,
  storage: string,
  entries: readonly KeptEntry[],
  now: number,
): Promise<void> {
  const living = entries.filter(({ leaf }) => leaf.notAfter > now);
  const fetches = await index.lastFetches(living.map(({ csr }) => storedId(storage, csr)));
  const found = living.map((entry, at) => {
    const fetched = isFetched(entry.leaf, fetches[at]) ? fetches[at] : undefined;
    return { entry: toFound(entry, fetched), fetched };
  });
  const added = await inventory.addFound(found.map(({ entry }) => entry));
  const notes = found.flatMap(({ entry: { id }, fetched }) =>
    fetched && added.has(id) ? [{ id, note: { at: fetched.at } }] : [],
  );
  await inventory.note('fetched', notes);
}

/** Whoever fetched it last was admitted by the block for which it is renewed. */
function toFound({ chain, der, leaf, issuedBy }: KeptEntry, fetched: LastFetch | undefined): InventoryEntry {
  const kept = { how: 'found', block: fetched?.block, account: issuedBy?.account } as const;
  return toEntry(der ?? decodePem(chain, ['CERTIFICATE']), kept, leaf);
}
