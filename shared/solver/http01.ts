import { IssuanceError } from '../base/errors.ts';
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
    present: ({ token, keyAuthorization }) => needingRedis(responses.put(token, keyAuthorization)),
    withdraw: ({ token }) => needingRedis(responses.delete(token)),
  };
}

async function needingRedis(act: Promise<void>): Promise<void> {
  try {
    await act;
  } catch (error) {
    throw new IssuanceError('unavailable', 'the challenge responses cannot be reached', { cause: error });
  }
}
