import { needingRedis } from '../base/redis.ts';
import type { SelfCheckConfig } from '../config/verification.ts';
import type { ChallengeResponses } from './challenge-responses.ts';
import { openSelfCheck } from './self-check.ts';
import type { Solver } from './solver.ts';

/** http-01 (RFC 8555 section 8.3): the responders answer from what is put here. */
export function openHttp01Solver(name: string, selfCheck: SelfCheckConfig, responses: ChallengeResponses): Solver {
  const { mode } = selfCheck;
  return {
    name,
    ...(mode !== 'off' && { selfCheck: { mode, look: openSelfCheck(selfCheck) } }),
    challengeType: 'http-01',
    canProve: ({ type, value }) => type === 'ip' || !value.startsWith('*.'),
    present: ({ token, keyAuthorization }) => needingRedis(() => responses.put(token, keyAuthorization)),
    withdraw: ({ token }) => needingRedis(() => responses.delete(token)),
  };
}
