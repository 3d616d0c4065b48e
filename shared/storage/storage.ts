import type { Certificate } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';
import { type CertificateLife, renewalTime } from '../pki/renewal-time.ts';

export type StoredCertificate = {
  /** PEM, leaf first. */
  chain: string;
  /** What the leaf says; its identifiers are the names stored with the entry. */
  leaf: Certificate;
};

/**
 * Where issued certificates are kept, found again by their CSR. Safe to use from any number of processes at once.
 * `test/contract/storage.contract.ts` says what every kind has to do.
 */
export type Storage = {
  readonly name: string;
  /** The stored certificate while it is fresh; a damaged entry is logged and counts as absent. */
  get(csr: CsrText): Promise<StoredCertificate | undefined>;
  /** Keeps a chain (PEM) for the CSR, in place of an older one. */
  put(csr: CsrText, chain: string): Promise<void>;
};

/**
 * Whether a certificate is far enough from its end to be handed out.
 *
 * @param renewWithin days
 * @param now milliseconds since the epoch
 */
export function isFresh(leaf: CertificateLife, renewWithin: number, now: number): boolean {
  return now < renewalTime(leaf, renewWithin);
}
