const DAY = 24 * 3_600_000;

/** Milliseconds since the epoch. */
export type CertificateLife = { notBefore: number; notAfter: number };

/** Of a certificate's life: with less of it left, a failed attempt to renew it is an alarm. */
export const LAST_PART = 1 / 20;

export const lifeOf = ({ notBefore, notAfter }: CertificateLife) => notAfter - notBefore;

/**
 * From when on a certificate is to be renewed where only days before its end say so: never before half of its life is
 * over, else a short-lived certificate would be renewed at every look; with a third of its life left where nothing is set.
 *
 * @param days before its end
 * @returns milliseconds since the epoch
 */
export function renewalTime(life: CertificateLife, days: number | undefined): number {
  return life.notAfter - (days === undefined ? lifeOf(life) / 3 : Math.min(days * DAY, lifeOf(life) / 2));
}

/** Over how long renewals by days are spread from that time on, so that not all happen at once. Milliseconds. */
export function renewalSpread(life: CertificateLife, days: number | undefined): number {
  return Math.min(lifeOf(life) * LAST_PART, (life.notAfter - renewalTime(life, days)) / 4);
}
