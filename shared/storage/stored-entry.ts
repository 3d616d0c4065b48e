import { LRUCache } from 'lru-cache';
import { certifiesKey, decodePemBlocks, readCertificate, splitChain } from '../pki/certificate.ts';
import { type CsrText, readCsr } from '../pki/csr.ts';
import { fingerprintOfDer, parseRecord } from './entry-record.ts';
import type { KeptEntry, StoredCertificate } from './storage.ts';

const MOST_REMEMBERED = 2_000;

/**
 * What was read from a storage, by its place there. It is good for as long as the entry has the mark that it
 * had then: parsing an entry is most of a hit's cost.
 */
type ReadEntries = {
  /** Whether anything is remembered of a place, of whatever mark. */
  has(place: string): boolean;
  /** @param mark changes whenever the entry does; asked for only where something is remembered */
  recall(place: string, mark: () => string | undefined): StoredCertificate | undefined;
  /**
   * @param place one that only one CSR can have
   * @param mark taken before the entry was read
   */
  remember(place: string, mark: string, stored: StoredCertificate): void;
};

export function openReadEntries(most = MOST_REMEMBERED): ReadEntries {
  const entries = new LRUCache<string, { mark: string; stored: StoredCertificate }>({ max: most });
  return {
    has: place => entries.has(place),
    recall(place, mark) {
      const last = entries.get(place);
      return last && last.mark === mark() ? last.stored : undefined;
    },
    remember(place, mark, stored) {
      entries.set(place, { mark, stored });
    },
  };
}

/** An entry as it lies in its storage. */
type EntryText = {
  /** PEM, in whatever form it was posted. */
  csr: string;
  /** PEM, leaf first. */
  chain: string;
  /** As JSON has it; `undefined` where there is none. */
  record: unknown;
};

/**
 * Reads what a storage kept for a CSR, trusting none of it: the entry must be of this very CSR, and its leaf
 * must certify the CSR's key.
 *
 * @throws Error saying what is damaged
 */
export function readEntry(csr: CsrText, entry: EntryText): StoredCertificate {
  if (!readCsr(Buffer.from(entry.csr)).der.equals(csr.der)) throw new Error('it holds another CSR');
  return readChain(csr, decodeLeaf(entry.chain), entry);
}

function decodeLeaf(chain: string): Buffer {
  const [first] = decodePemBlocks(chain, ['CERTIFICATE']);
  if (!first) throw new Error('it holds no certificate');
  return first.der;
}

/** @param der of the leaf */
function readChain(csr: CsrText, der: Buffer, { chain, record }: EntryText): StoredCertificate {
  const leaf = readCertificate(der);
  if (!certifiesKey(leaf, csr.der)) throw new Error("its certificate is not for the CSR's key");
  const { issuedBy, renewFrom } = parseRecord(record, fingerprintOfDer(der)) ?? {};
  return { chain, leaf, ...(issuedBy && { issuedBy }), ...(renewFrom !== undefined && { renewFrom }) };
}

/**
 * Reads an entry that was found without its CSR.
 *
 * @throws Error saying what is damaged
 */
export function readWholeEntry(entry: EntryText): KeptEntry {
  const csr = readCsr(Buffer.from(entry.csr));
  const der = decodeLeaf(entry.chain);
  return { csr, der, ...readChain(csr, der, entry) };
}

/**
 * Whether a stored chain is that of a certificate, a PEM as `splitChain` gives it. Cheap: no certificate is
 * parsed.
 */
export function isChainOf(certificate: string, chain: string): boolean {
  try {
    return splitChain(chain)[0] === certificate;
  } catch {
    return false; // damaged
  }
}
