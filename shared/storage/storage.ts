import type { Certificate } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';

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

const DAY = 24 * 3_600_000;

/**
 * Whether a certificate is far enough from its end to be handed out. Where `renewWithin` is more than half of the
 * certificate's life, a third of the life counts instead: else a short-lived certificate would never be fresh and every
 * post would order a new one.
 *
 * @param renewWithin days
 * @param now milliseconds since the epoch
 */
export function isFresh({ notBefore, notAfter }: Certificate, renewWithin: number, now: number): boolean {
  const life = notAfter - notBefore;
  const wanted = renewWithin * DAY;
  return notAfter - now > (wanted > life / 2 ? life / 3 : wanted);
}
