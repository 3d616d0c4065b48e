import { hash, X509Certificate } from 'node:crypto';
import type { Clock } from '../base/basics.ts';
import { needingRedis, type Store } from '../base/redis.ts';

/** What has been revoked through Quarry, so that no client is known by it any more, until it ends anyway. */
export type RevokedCertificates = {
  /** @param pem its first certificate counts */
  mark(pem: string): Promise<void>;
  /**
   * @param fingerprint SHA-256 of the certificate's DER, in hex
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  has(fingerprint: string): Promise<boolean>;
};

/** Clocks may differ. Milliseconds. */
const KEPT_LONGER = 24 * 3_600_000;

export function openRevokedCertificates(
  { redis, prefix }: Store,
  clock: Pick<Clock, 'now'>,
): RevokedCertificates {
  const keyOf = (fingerprint: string) => `${prefix}:revoked-certificate:${fingerprint}`;
  return {
    async mark(pem) {
      const { raw, validToDate } = new X509Certificate(pem);
      const ends = Math.max(validToDate.getTime(), clock.now()) + KEPT_LONGER;
      await redis.set(keyOf(hash('sha256', raw)), '1', 'PXAT', ends);
    },
    has: fingerprint => needingRedis(async () => (await redis.get(keyOf(fingerprint))) !== null),
  };
}
