import { createHash } from 'node:crypto';
import type { Clock } from '../base/basics.ts';
import { damagedValue } from '../base/errors.ts';
import { canProve } from '../base/identifier.ts';
import { needingRedis, runScript, type Store, toScript } from '../base/redis.ts';
import { keys, list } from '../base/redis-use.ts';
import { defaultListeners, inWords, type Listener, readListeners } from '../config/listener.ts';
import type { SectionReader } from '../config/section-reader.ts';
import { type ChallengeResponse, type Kind, RESPONSE_LIFE, type Solver, type SolverParts } from './solver.ts';

const toRotate = list('eval evalsha expire time zadd zrem zremrangebyscore');

const LISTENERS = defaultListeners(13_443, '0.0.0.0', '::');

/** tls-alpn-01 (RFC 8737, RFC 8738): the responders make certificates from what is put here. */
export const tlsAlpn01: Kind<TlsAlpn01Config> = {
  rows: { listener: { meaning: 'where the responders listen', otherwise: inWords(LISTENERS) } },
  parse: parseTlsAlpn01,
  open: openTlsAlpn01Solver,
  redisUses: [keys('tls-alpn-01:*', { worker: toRotate, responder: ['zrangebyscore'], cli: toRotate })],
};

type TlsAlpn01Config = { name: string; type: 'tlsalpn01'; challenge: 'tls-alpn-01'; listeners: Listener[] };

function parseTlsAlpn01(section: SectionReader): TlsAlpn01Config {
  const listeners = readListeners(section, ['listener'], LISTENERS);
  section.finish();
  return { name: section.label, type: 'tlsalpn01', challenge: 'tls-alpn-01', listeners };
}

/** How long orders for one name may wait for each other, in milliseconds. */
const DEADLINE = 120_000;

function openTlsAlpn01Solver(
  { name }: TlsAlpn01Config,
  { store, clock }: Pick<SolverParts, 'store' | 'clock'>,
): Solver {
  const responses = openTlsAlpnResponses(store, clock);
  const putTogether = together<TlsAlpnResponse>(all => needingRedis(() => responses.put(all)));
  return {
    name,
    challengeType: 'tls-alpn-01',
    canProve: identifier => canProve('tls-alpn-01', identifier),
    present: response => putTogether(toStored(response)),
    withdraw: response => needingRedis(() => responses.delete(toStored(response))),
    propagation: {
      deadline: DEADLINE,
      async missing(response) {
        const { identifier, digest } = toStored(response);
        const shown = await needingRedis(() => responses.get(identifier));
        if (shown === digest) return undefined;
        return shown
          ? `another order for ${identifier} is being validated`
          : `the response for ${identifier} is lost`;
      },
    },
  };
}

function toStored({ identifier, keyAuthorization }: ChallengeResponse): TlsAlpnResponse {
  return {
    identifier: identifier.value,
    digest: createHash('sha256').update(keyAuthorization).digest('base64url'),
  };
}

/** Lets one act do for all that is asked for in one turn: an order presents all of its responses at once. */
function together<T>(act: (all: readonly T[]) => Promise<void>): (one: T) => Promise<void> {
  const waiting: T[] = [];
  let acting = Promise.resolve();
  return one => {
    if (waiting.length === 0) acting = Promise.resolve().then(() => act(waiting.splice(0)));
    waiting.push(one);
    return acting;
  };
}

/** After so many microseconds a response that was not withdrawn no longer keeps those behind it waiting. */
const TURN = 300e6;

/**
 * KEYS are the sets, ARGV is the life of a response in seconds and then what goes into each. One that is
 * there already keeps its place. The time is Redis's own, in microseconds, so that no process whose clock is
 * behind gets in before others.
 */
const PUT = toScript(`local now = redis.call('TIME')
for index, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', (now[1] - ARGV[1]) * 1000000)
  redis.call('ZADD', key, 'NX', now[1] .. string.format('%06d', now[2]), ARGV[index + 1])
  redis.call('EXPIRE', key, ARGV[1])
end`);

/** The sorted set of digests for an identifier, each scored with the time when it was put. */
const tlsAlpnKey = (prefix: string, identifier: string) => `${prefix}:tls-alpn-01:${identifier}`;

/** The SHA-256 of an identifier's key authorization, base64url, which is all that a certificate needs. */
type TlsAlpnResponse = { identifier: string; digest: string };

/**
 * The responses to tls-alpn-01 challenges in Redis. As a certificate holds just one (RFC 8737 section 3),
 * several for one identifier take turns, in the order in which they came. Those of one order are put in one
 * step: were two orders for the same names to come in between each other, each would have to wait for the
 * other.
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
      await runScript(redis, PUT, keys, [RESPONSE_LIFE, ...responses.map(({ digest }) => digest)]);
    },
    async get(identifier) {
      const now = clock.now() * 1_000;
      const put = await redis.zrangebyscore(
        ...([tlsAlpnKey(prefix, identifier), now - RESPONSE_LIFE * 1e6, '+inf', 'WITHSCORES'] as const),
      );
      const inTurn = put.findIndex((_, index) => index % 2 === 1 && Number(put[index]) > now - TURN);
      const digest = put[(inTurn > 0 ? inTurn : put.length - 1) - 1];
      if (digest === undefined || /^[\w-]{43}$/.test(digest)) return digest;
      throw damagedValue(tlsAlpnKey(prefix, identifier));
    },
    async delete({ identifier, digest }) {
      await redis.zrem(tlsAlpnKey(prefix, identifier), digest);
    },
  };
}
