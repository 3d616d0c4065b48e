import { LRUCache } from 'lru-cache';
import { type Certificate, certifiesKey, readCertificate, splitChain } from '../pki/certificate.ts';
import { type CsrText, readCsr } from '../pki/csr.ts';
import { fingerprintOf, parseRecord } from './entry-record.ts';
import type { KeptEntry, StoredCertificate } from './storage.ts';

const MOST_REMEMBERED = 2_000;

/** A chain that is known to belong to its CSR. */
type ReadChain = { chain: string; leaf: Certificate; fingerprint: string };

/**
 * Reads the chain of an entry; `undefined` where the entry has no CSR. One that has not changed since is read
 * once: parsing its certificate is most of a hit's cost, and its CSR need not be looked at again.
 *
 * @param place of the entry in its storage, which only this CSR can have
 * @throws Error saying what is damaged
 */
type EntryReader = (
  place: string,
  csr: CsrText,
  chain: string,
  readCsrPem: () => Promise<string | undefined>,
) => Promise<ReadChain | undefined>;

export function openEntryReader(): EntryReader {
  const read = new LRUCache<string, ReadChain>({ max: MOST_REMEMBERED });
  return async (place, csr, chain, readCsrPem) => {
    const last = read.get(place);
    if (last && last.chain === chain) return last; // a damaged entry may have no chain at all
    const csrPem = await readCsrPem();
    if (csrPem === undefined) return undefined;
    const found = readStoredChain(csr, csrPem, chain);
    read.set(place, found);
    return found;
  };
}

/** @param record as JSON has it; `undefined` where there is none */
export function toStored({ chain, leaf, fingerprint }: ReadChain, record: unknown): StoredCertificate {
  const { issuedBy, renewFrom } = parseRecord(record, fingerprint) ?? {};
  return { chain, leaf, ...(issuedBy && { issuedBy }), ...(renewFrom !== undefined && { renewFrom }) };
}

/**
 * Reads an entry that was found without its CSR.
 *
 * @throws Error saying what is damaged
 */
export function readWholeEntry(csrPem: string, chain: string, record: unknown): KeptEntry {
  const csr = readCsr(Buffer.from(csrPem));
  return { csr, ...toStored(readChainOf(csr, chain), record) };
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

/**
 * Reads what a storage kept, trusting none of it: the entry must be of this very CSR, and its leaf must
 * certify the CSR's key.
 *
 * @param csrPem the CSR as stored, in whatever form it was posted
 * @throws Error saying what is damaged
 */
function readStoredChain(csr: CsrText, csrPem: string, chain: string): ReadChain {
  if (!readCsr(Buffer.from(csrPem)).der.equals(csr.der)) throw new Error('it holds another CSR');
  return readChainOf(csr, chain);
}

function readChainOf(csr: CsrText, chain: string): ReadChain {
  const [leafPem] = splitChain(chain);
  if (!leafPem) throw new Error('it holds no certificate');
  const leaf = readCertificate(leafPem);
  if (!certifiesKey(leaf, csr.der)) throw new Error("its certificate is not for the CSR's key");
  return { chain, leaf, fingerprint: fingerprintOf(leafPem) };
}
