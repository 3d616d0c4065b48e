import { LRUCache } from 'lru-cache';
import { certifiesKey, readCertificate } from '../pki/certificate.ts';
import { type CsrText, readCsr } from '../pki/csr.ts';
import { splitChain } from '../pki/pem.ts';
import type { KeptEntry, StoredCertificate } from './storage.ts';

const MOST_REMEMBERED = 2_000;

/** Reads entries, and reads one that has not changed since only once: parsing its certificate is most of a hit's cost. */
export function openEntryReader(): typeof readStoredEntry {
  const read = new LRUCache<string, { csrPem: string; stored: StoredCertificate }>({ max: MOST_REMEMBERED });
  return (csr, csrPem, chain) => {
    const last = read.get(csr.digest);
    if (last && last.csrPem === csrPem && last.stored.chain === chain) return last.stored;
    const stored = readStoredEntry(csr, csrPem, chain);
    read.set(csr.digest, { csrPem, stored });
    return stored;
  };
}

/**
 * Reads an entry that was found without its CSR.
 *
 * @throws Error saying what is damaged
 */
export function readWholeEntry(csrPem: string, chain: string): KeptEntry {
  const csr = readCsr(Buffer.from(csrPem));
  return { csr, ...readStoredEntry(csr, csrPem, chain) };
}

/** Whether a stored chain is that of a certificate, a PEM as `splitChain` gives it. Cheap: no certificate is parsed. */
export function isChainOf(certificate: string, chain: string): boolean {
  try {
    return splitChain(chain)[0] === certificate;
  } catch {
    return false; // damaged
  }
}

/**
 * Reads what a storage kept, trusting none of it: the entry must be of this very CSR, and its leaf must certify the
 * CSR's key.
 *
 * @param csrPem the CSR as stored, in whatever form it was posted
 * @throws Error saying what is damaged
 */
function readStoredEntry(csr: CsrText, csrPem: string, chain: string): StoredCertificate {
  if (!readCsr(Buffer.from(csrPem)).der.equals(csr.der)) throw new Error('it holds another CSR');
  const [leafPem] = splitChain(chain);
  if (!leafPem) throw new Error('it holds no certificate');
  const leaf = readCertificate(leafPem);
  if (!certifiesKey(leaf, csr.der)) throw new Error("its certificate is not for the CSR's key");
  return { chain, leaf };
}
