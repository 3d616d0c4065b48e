import { createHash } from 'node:crypto';
import { needingRedis } from '../base/redis.ts';
import { canProve } from '../pki/identifier.ts';
import type { ChallengeResponse, Solver } from './solver.ts';
import type { TlsAlpnResponse, TlsAlpnResponses } from './tls-alpn-responses.ts';

/** How long orders for one name may wait for each other, in milliseconds. */
const DEADLINE = 120_000;

/** tls-alpn-01 (RFC 8737, RFC 8738): the responders make certificates from what is put here. */
export function openTlsAlpn01Solver(name: string, responses: TlsAlpnResponses): Solver {
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
