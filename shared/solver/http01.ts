import { needingRedis } from '../base/redis.ts';
import { canProve } from '../pki/identifier.ts';
import type { ChallengeResponses } from './challenge-responses.ts';
import type { SelfCheckConfig } from './http01-section.ts';
import { openSelfCheck } from './self-check.ts';
import type { Solver } from './solver.ts';

/** http-01 (RFC 8555 section 8.3): the responders answer from what is put here. */
export function openHttp01Solver(
  name: string,
  selfCheck: SelfCheckConfig,
  responses: ChallengeResponses,
): Solver {
  const { mode } = selfCheck;
  return {
    name,
    ...(mode !== 'off' && { selfCheck: { mode, look: openSelfCheck(selfCheck) } }),
    challengeType: 'http-01',
    canProve: identifier => canProve('http-01', identifier),
    present: ({ token, keyAuthorization }) => needingRedis(() => responses.put(token, keyAuthorization)),
    withdraw: ({ token }) => needingRedis(() => responses.delete(token)),
  };
}
