import type { ChallengeResponses } from './challenge-responses.ts';
import type { Solver } from './solver.ts';

/** http-01 (RFC 8555 section 8.3): the responders answer from what is put here. */
export function openHttp01Solver(name: string, responses: ChallengeResponses): Solver {
  return {
    name,
    challengeType: 'http-01',
    canProve: ({ type, value }) => type === 'ip' || !value.startsWith('*.'),
    present: ({ token, keyAuthorization }) => responses.put(token, keyAuthorization),
    withdraw: ({ token }) => responses.delete(token),
  };
}
