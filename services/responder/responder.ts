import { createServer } from 'node:http';
import type { Clock } from '../../shared/base/clock.ts';
import { openListeners } from '../../shared/base/listeners.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import type { Config } from '../../shared/config/load-config.ts';
import { type ChallengeResponses, openChallengeResponses } from '../../shared/solver/challenge-responses.ts';
import { createHttp01App } from './http01-app.ts';

const RECEIVE_TIMEOUT = 10_000;
/** Longer than a restart of Redis, and shorter than a CA waits for an answer. */
const LONGEST_OUTAGE = 6_000;
const ASK_AGAIN = 100;

export type Responder = Role & { readonly addresses: { host: string; port: number }[] };

/** The responder role: answers challenges from Redis, on the listeners of every http01 verification. */
export async function startResponder(config: Config, { redisUrl, clock, log, metrics }: RoleParts): Promise<Responder> {
  const redis = openRedis(redisUrl, 'impatient', log);
  const responses = outlastRestarts(openChallengeResponses(redis, config.redis.prefix), clock);
  const app = createHttp01App(responses, log, metrics);
  const options = { headersTimeout: RECEIVE_TIMEOUT, requestTimeout: RECEIVE_TIMEOUT };
  try {
    const listeners = await openListeners(http01Listeners(config), () => createServer(options, app), log);
    log.info({ listeners: listeners.addresses }, 'responder listens');
    return {
      name: 'responder',
      addresses: listeners.addresses,
      notReady: () => (redis.status === 'ready' ? undefined : 'Redis cannot be reached'),
      failed: new Promise(() => {}),
      async [Symbol.asyncDispose]() {
        await listeners[Symbol.asyncDispose]();
        closeRedis(redis);
      },
    };
  } catch (error) {
    closeRedis(redis);
    throw error;
  }
}

/** A CA looks once: with an answer that Redis's restart costs, the order would fail and a failed validation be counted. */
function outlastRestarts(responses: ChallengeResponses, clock: Clock): ChallengeResponses {
  return {
    ...responses,
    async get(token) {
      const deadline = clock.now() + LONGEST_OUTAGE;
      for (;;) {
        try {
          return await responses.get(token);
        } catch (error) {
          if (clock.now() >= deadline) throw error;
          await clock.sleep(ASK_AGAIN);
        }
      }
    },
  };
}

/** Blocks may share an address: any responder answers for all of them. */
function http01Listeners({ verifications }: Config) {
  const all = [...verifications.values()].flatMap(one => (one.type === 'http01' ? one.listeners : []));
  return [...new Map(all.map(listener => [`${listener.host} ${listener.port}`, listener])).values()];
}
