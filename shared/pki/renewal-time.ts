const DAY = 24 * 3_600_000;

/** Milliseconds since the epoch. */
export type CertificateLife = { notBefore: number; notAfter: number };

/**
 * From when on a certificate is to be renewed where only days before its end say so: never before half of its life is
 * over, else a short-lived certificate would be renewed at every look; with a third of its life left where nothing is set.
 *
 * @param days before its end
 * @returns milliseconds since the epoch
 */
export function renewalTime({ notBefore, notAfter }: CertificateLife, days: number | undefined): number {
  const life = notAfter - notBefore;
  return notAfter - (days === undefined ? life / 3 : Math.min(days * DAY, life / 2));
}
