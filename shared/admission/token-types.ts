/**
 * A client's token, by its digest, as nothing else of it is needed; `undefined` where it cannot be one of
 * ours, or where there are several.
 */
export type ShownToken = { digest: string | undefined };

/** What a one-time token was used for: the digest of a CSR, and the job that orders for it. */
export type Used = { csr: string; job: string };

/** The one certificate that a one-time token is good for. */
export type OneCertificate = {
  /** Of the token. */
  digest: string;
  /** What it was used for before; `enqueued`: the job was made for sure. */
  used: (Used & { enqueued: boolean }) | undefined;
  /**
   * Binds the token to a CSR, and to the job that orders for it, before that is made. The first one wins.
   *
   * @returns what it is bound to
   * @throws IssuanceError `denied` where the token was revoked meanwhile; `unavailable` when Redis cannot be
   *   reached
   */
  bind(use: Used): Promise<Used>;
  /** Notes that the job is made, which ends the token. */
  noteEnqueued(use: Used): Promise<void>;
};
