import { certifiesKey, readCertificate } from '../pki/certificate.ts';
import { type CsrText, readCsr } from '../pki/csr.ts';
import { splitChain } from '../pki/pem.ts';
import type { StoredCertificate } from './storage.ts';

/**
 * Reads what a storage kept, trusting none of it: the entry must be of this very CSR, and its leaf must certify the
 * CSR's key.
 *
 * @param csrPem the CSR as stored, in whatever form it was posted
 * @throws Error saying what is damaged
 */
export function readStoredEntry(csr: CsrText, csrPem: string, chain: string): StoredCertificate {
  if (!readCsr(Buffer.from(csrPem)).der.equals(csr.der)) throw new Error('it holds another CSR');
  const [leafPem] = splitChain(chain);
  if (!leafPem) throw new Error('it holds no certificate');
  const leaf = readCertificate(leafPem);
  if (!certifiesKey(leaf, csr.der)) throw new Error("its certificate is not for the CSR's key");
  return { chain, leaf };
}
