import type { Redis } from 'ioredis';
import { challengeKey } from '../../shared/solver/http01.ts';
import { prefix } from './ground.ts';
import type { NamedCsr } from './named-csrs.ts';
import { openStockClient } from './stock-client.ts';

/**
 * It would wait 5 s after a poll in vain, which costs as many requests as this does where the CA is quick.
 */
const polls = { backoffMin: 250, backoffMax: 5_000, backoffAttempts: 10 };

/**
 * acme-client's `auto`, with an account that it knows; without its own look at the challenges, which asks no
 * CA.
 */
export async function openAutoClient(
  ca: { directoryUrl: string; caFile: string },
  redis: Redis,
): Promise<(csr: NamedCsr) => Promise<void>> {
  const client = await openStockClient(ca, polls);
  return async ({ csr }) => {
    await client.auto({
      csr,
      skipChallengeVerification: true,
      challengeCreateFn: async (_, { token }, keyAuthorization) => {
        await redis.set(challengeKey(prefix, token), keyAuthorization);
      },
      challengeRemoveFn: async (_, { token }) => {
        await redis.del(challengeKey(prefix, token));
      },
    });
  };
}
