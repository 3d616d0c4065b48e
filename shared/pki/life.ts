/** Milliseconds since the epoch. */
export type CertificateLife = { notBefore: number; notAfter: number };

const DAY = 24 * 3_600_000;

/** The last part of a certificate's life, in which a failed attempt to renew it is an alarm. */
export const LAST_PART = 1 / 20;

export const lifeOf = ({ notBefore, notAfter }: CertificateLife) => notAfter - notBefore;

/**
 * The time from which a certificate is renewed by days before its end: with a third of its life left where no
 * days are set, and never in the first half of its life, as a short-lived certificate would then be renewed
 * at every look.
 *
 * @param days before its end
 * @returns milliseconds since the epoch
 */
export function renewalTime(life: CertificateLife, days: number | undefined): number {
  return life.notAfter - (days === undefined ? lifeOf(life) / 3 : Math.min(days * DAY, lifeOf(life) / 2));
}

/** Renewals by days are spread over these milliseconds from that time on, so that not all happen at once. */
export function renewalSpread(life: CertificateLife, days: number | undefined): number {
  return Math.min(lifeOf(life) * LAST_PART, (life.notAfter - renewalTime(life, days)) / 4);
}
