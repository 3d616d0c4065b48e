import type { Clock } from '../base/clock.ts';
import type { Store } from '../base/redis.ts';
import { RESPONSE_LIFE } from './solver.ts';

/** After so many microseconds a response that nobody has withdrawn no longer keeps those behind it waiting. */
const TURN = 300e6;

/**
 * KEYS are the sets, ARGV is the life of a response in seconds and then what goes into each. One that is there already
 * keeps its place. The time is Redis's own, in microseconds, so that nobody whose clock is behind gets in before others.
 */
const PUT = `local now = redis.call('TIME')
for index, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', (now[1] - ARGV[1]) * 1000000)
  redis.call('ZADD', key, 'NX', now[1] .. string.format('%06d', now[2]), ARGV[index + 1])
  redis.call('EXPIRE', key, ARGV[1])
end`;

/** The sorted set of digests for an identifier, each scored with the time when it was put. */
const tlsAlpnKey = (prefix: string, identifier: string) => `${prefix}:tls-alpn-01:${identifier}`;

/** The SHA-256 of an identifier's key authorization, base64url, which is all that a certificate needs. */
export type TlsAlpnResponse = { identifier: string; digest: string };

/**
 * The responses to tls-alpn-01 challenges in Redis. As a certificate holds just one (RFC 8737 section 3), several for one
 * identifier take turns, in the order in which they came. Those of one order are put in one step: were two orders for the
 * same names to come in between each other, each would have to wait for the other.
 */
export type TlsAlpnResponses = {
  put(responses: readonly TlsAlpnResponse[]): Promise<void>;
  /** The digest whose turn it is. */
  get(identifier: string): Promise<string | undefined>;
  delete(response: TlsAlpnResponse): Promise<void>;
};

export function openTlsAlpnResponses({ redis, prefix }: Store, clock: Clock): TlsAlpnResponses {
  return {
    async put(responses) {
      const keys = responses.map(({ identifier }) => tlsAlpnKey(prefix, identifier));
      await redis.eval(PUT, keys.length, ...keys, RESPONSE_LIFE, ...responses.map(({ digest }) => digest));
    },
    async get(identifier) {
      const now = clock.now() * 1_000;
      const put = await redis.zrangebyscore(
        ...([tlsAlpnKey(prefix, identifier), now - RESPONSE_LIFE * 1e6, '+inf', 'WITHSCORES'] as const),
      );
      const inTurn = put.findIndex((_, index) => index % 2 === 1 && Number(put[index]) > now - TURN);
      return put[(inTurn > 0 ? inTurn : put.length - 1) - 1];
    },
    async delete({ identifier, digest }) {
      await redis.zrem(tlsAlpnKey(prefix, identifier), digest);
    },
  };
}
