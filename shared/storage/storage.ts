import type { Certificate } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';
import { type CertificateLife, renewalSpread, renewalTime } from '../pki/life.ts';
import type { KeepingConfig } from './storage-section.ts';

/** Who issued a certificate. */
export type IssuedBy = {
  account: string;
  /** URL of the CA's directory. */
  directory: string;
};

export type StoredCertificate = {
  /** PEM, leaf first. */
  chain: string;
  /** What the leaf says; its identifiers are the names stored with the entry. */
  leaf: Certificate;
  /** Absent where it is not recorded, as of macen's entries. */
  issuedBy?: IssuedBy;
  /** From when on it is not handed out any more, whatever its life says; in milliseconds since the epoch. */
  renewFrom?: number;
};

/**
 * Where issued certificates are kept, found again by their CSR. Safe to use from any number of processes at
 * once. `test/contract/storage.contract.ts` says what every kind has to do.
 */
export type Storage = {
  readonly name: string;
  /**
   * The stored certificate while it is fresh; a damaged entry is logged and counts as absent.
   *
   * @param isGood whether the caller may use what was found; another one may be kept for the same CSR
   * @param longest milliseconds that the caller waits, where that is less than the storage would
   * @throws IssuanceError `unavailable` where it cannot be read, as nobody knows whether there is one; or
   *   what Redis says
   */
  get(
    csr: CsrText,
    isGood?: (stored: StoredCertificate) => boolean,
    longest?: number,
  ): Promise<StoredCertificate | undefined>;
  /**
   * Keeps a chain (PEM) for the CSR, in place of an older one.
   *
   * @param life of its first certificate, where the caller has read it
   * @throws IssuanceError `unavailable` where it cannot be written
   */
  put(csr: CsrText, chain: string, issuedBy: IssuedBy, life?: CertificateLife): Promise<void>;
  /** Absent where nothing is kept. */
  readonly upkeep?: Upkeep;
};

export type KeptEntry = StoredCertificate & {
  csr: CsrText;
  /** Of the leaf, where it was decoded to read the entry. */
  der?: Buffer;
};

/**
 * What is done to the entries of a storage besides handing them out. An entry's key is its place, in hex.
 * Each call throws IssuanceError `unavailable` where the storage cannot be read, or written; or what Redis
 * says.
 */
export type Upkeep = {
  /** The key under which `put` keeps a CSR's certificate. */
  keyOf(csr: CsrText): string;
  /** The entry, fresh or not; `undefined` where there is none, or only a damaged one. */
  read(key: string): Promise<KeptEntry | undefined>;
  /**
   * The keys of all entries, one part a call.
   *
   * @param cursor where the last call stood; '' begins
   * @returns `cursor` is undefined after the last part. An entry that is put meanwhile may be missed or come
   *   twice.
   */
  keys(cursor: string): Promise<{ keys: string[]; cursor: string | undefined }>;
  /**
   * Removes the entry if its certificate ended before `before`, in milliseconds since the epoch.
   *
   * @returns the end of the certificate that stays, `undefined` where nothing does
   */
  expire(key: string, before: number): Promise<number | undefined>;
  /**
   * Has the entry handed out until `at` alone, if it still holds this chain; a certificate that is put later
   * begins anew.
   *
   * @param at milliseconds since the epoch; `undefined` takes back what was set before
   * @returns false where it holds another chain by now
   */
  setRenewFrom(key: string, chain: string, at: number | undefined): Promise<boolean>;
  /**
   * Removes the entry if it is of this certificate.
   *
   * @param certificate the leaf's PEM, as `splitChain` gives it
   * @returns the entry; `undefined` where it is not, or no longer, of this certificate
   */
  remove(key: string, certificate: string): Promise<KeptEntry | undefined>;
};

/**
 * Whether a certificate may still be handed out: it is far enough from its end, and nothing else wants it
 * renewed. Where Quarry renews ahead it is given time for that first, else posts and renewals that fall due
 * at the same moment would order the same certificate side by side.
 *
 * @param now milliseconds since the epoch
 */
export function isFresh(
  { leaf, renewFrom }: { leaf: CertificateLife; renewFrom?: number },
  { renewWithin, renewAhead }: Pick<KeepingConfig, 'renewWithin' | 'renewAhead'>,
  now: number,
): boolean {
  if (renewFrom !== undefined && now >= renewFrom) return false;
  const grace = renewAhead ? 2 * renewalSpread(leaf, renewWithin) : 0;
  return now < renewalTime(leaf, renewWithin) + grace;
}
