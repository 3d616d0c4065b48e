import type { Identifier } from '../base/identifier.ts';

// What a CSR is read into.

export type CsrText = {
  der: Buffer;
  /** As openssl prints it, whatever line ends and text the client put around it. */
  pem: string;
  /** SHA-384 of `pem`, hex: one key for all spellings of a CSR. */
  digest: string;
  /** SHA-384 of the body as posted, hex: macen's key into its storage. */
  postedDigest: string;
};

export type ParsedCsr = {
  /** At least one, at most 100, without duplicates: the CN's first, then the SANs in their order. */
  identifiers: Identifier[];
  /** The `keyDigest` of its key. */
  publicKey: string;
  /** Why only a CA certifies it that takes more than the public ones; undefined where all do. */
  unusual: string | undefined;
};
