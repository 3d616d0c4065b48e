import type { Store } from '../base/redis.ts';
import { RESPONSE_LIFE } from './solver.ts';

/** The key that holds the key authorization of an http-01 token; a responder reads this key and nothing else. */
export const challengeKey = (prefix: string, token: string) => `${prefix}:http-01:${token}`;

export type ChallengeResponses = {
  put(token: string, keyAuthorization: string): Promise<void>;
  get(token: string): Promise<string | null>;
  delete(token: string): Promise<void>;
};

/** The challenge responses in Redis, where any worker puts them and any responder finds them. */
export function openChallengeResponses({ redis, prefix }: Store): ChallengeResponses {
  return {
    put: async (token, keyAuthorization) => {
      await redis.set(challengeKey(prefix, token), keyAuthorization, 'EX', RESPONSE_LIFE);
    },
    get: token => redis.get(challengeKey(prefix, token)),
    delete: async token => {
      await redis.del(challengeKey(prefix, token));
    },
  };
}
