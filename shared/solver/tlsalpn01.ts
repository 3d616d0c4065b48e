import { createHash } from 'node:crypto';
import { needingRedis } from '../base/redis.ts';
import { canProve } from '../config/challenge-type.ts';
import type { ChallengeResponse, Solver } from './solver.ts';
import type { TlsAlpnResponses } from './tls-alpn-responses.ts';

/** How long orders for one name may wait for each other, in milliseconds. */
const DEADLINE = 120_000;

/** tls-alpn-01 (RFC 8737, RFC 8738): the responders make certificates from what is put here. */
export function openTlsAlpn01Solver(name: string, responses: TlsAlpnResponses): Solver {
  return {
    name,
    challengeType: 'tls-alpn-01',
    canProve: identifier => canProve('tls-alpn-01', identifier),
    present: response => needingRedis(() => responses.put(response.identifier.value, toDigest(response))),
    withdraw: response => needingRedis(() => responses.delete(response.identifier.value, toDigest(response))),
    propagation: {
      deadline: DEADLINE,
      async missing(response) {
        const { value } = response.identifier;
        const shown = await needingRedis(() => responses.get(value));
        return shown === toDigest(response) ? undefined : `another order for ${value} is being validated`;
      },
    },
  };
}

const toDigest = ({ keyAuthorization }: ChallengeResponse) =>
  createHash('sha256').update(keyAuthorization).digest('base64url');
