import type { Redis } from '../base/redis.ts';
import type { VerificationConfig } from '../config/verification.ts';
import { openChallengeResponses } from './challenge-responses.ts';
import { openHttp01Solver } from './http01.ts';
import type { Solver } from './solver.ts';

/** Opens every configured verification, by name. */
export function openSolvers(
  configs: Iterable<VerificationConfig>,
  { redis, prefix }: { redis: Redis; prefix: string },
): Map<string, Solver> {
  const responses = openChallengeResponses(redis, prefix);
  return new Map([...configs].map(config => [config.name, openSolver(config)]));

  function openSolver(config: VerificationConfig): Solver {
    switch (config.type) {
      case 'http01':
        return openHttp01Solver(config.name, config.selfCheck, responses);
    }
  }
}
