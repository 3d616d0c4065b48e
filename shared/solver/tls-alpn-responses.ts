import type { Clock } from '../base/clock.ts';
import { type Redis, runAll } from '../base/redis.ts';

/** Longer than any validation takes, and short enough that what a killed worker left behind goes away by itself. */
const LIFE = 3_600_000;

/** After so many milliseconds a response that nobody has withdrawn no longer keeps those behind it waiting. */
const TURN = 300_000;

/** The sorted set of digests for an identifier, each scored with the time when it was put. */
export const tlsAlpnKey = (prefix: string, identifier: string) => `${prefix}:tls-alpn-01:${identifier}`;

/**
 * The responses to tls-alpn-01 challenges in Redis: for each identifier the SHA-256 of its key authorization, base64url,
 * which is all that a certificate needs. As a certificate holds just one (RFC 8737 section 3), several for one
 * identifier take turns, in the order in which they came.
 */
export type TlsAlpnResponses = {
  put(identifier: string, digest: string): Promise<void>;
  /** The one whose turn it is. */
  get(identifier: string): Promise<string | undefined>;
  delete(identifier: string, digest: string): Promise<void>;
};

export function openTlsAlpnResponses(redis: Redis, prefix: string, clock: Clock): TlsAlpnResponses {
  return {
    async put(identifier, digest) {
      const key = tlsAlpnKey(prefix, identifier);
      const now = clock.now();
      await runAll(
        redis
          .multi()
          .zremrangebyscore(key, '-inf', now - LIFE)
          .zadd(key, 'NX', now, digest)
          .pexpire(key, LIFE),
      );
    },
    async get(identifier) {
      const now = clock.now();
      const key = tlsAlpnKey(prefix, identifier);
      const put = await redis.zrangebyscore(key, now - LIFE, '+inf', 'WITHSCORES');
      const inTurn = put.findIndex((_, index) => index % 2 === 1 && Number(put[index]) > now - TURN);
      return put[(inTurn > 0 ? inTurn : put.length - 1) - 1];
    },
    async delete(identifier, digest) {
      await redis.zrem(tlsAlpnKey(prefix, identifier), digest);
    },
  };
}
