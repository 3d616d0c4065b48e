import type { Redis } from 'ioredis';
import type { Log } from './basics.ts';
import { endSilence, reportOutages } from './outages.ts';
import { writeTogether } from './redis.ts';
import type { RedisAddress } from './redis-address.ts';
import { connectTo, type Patience } from './redis-connection.ts';
import { followSwitches } from './redis-switches.ts';
import { outlastRefusals } from './refusals.ts';

/**
 * @param enableReadyCheck whether it waits until Redis has loaded its data, for which a user needs INFO
 */
export function openRedis(
  address: RedisAddress,
  patience: Patience,
  log: Log,
  enableReadyCheck = true,
): Redis {
  const all = new Set<Redis>();
  const redis = withManners(connectTo(address, patience, enableReadyCheck), patience, all);
  if ('sentinels' in address) {
    const switches = followSwitches(address, () => all);
    redis.on('end', () => switches[Symbol.dispose]());
  }
  reportOutages(redis, log);
  return redis;
}

/** BullMQ makes itself another one, which has them, too. @param all gets it while it is open */
function withManners(redis: Redis, patience: Patience, all: Set<Redis>): Redis {
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = options => withManners(duplicate(options), patience, all);
  redis.on('connect', () => all.add(redis));
  redis.on('end', () => all.delete(redis));
  redis.on('connect', () => writeTogether(redis.stream, patience));
  redis.on('connect', () => endSilence(redis));
  outlastRefusals(redis);
  return redis;
}

/** Closes a connection, which fails the commands that still wait on it; errors from here on are no outage. */
export function closeRedis(redis: Redis): void {
  redis.removeAllListeners('error').on('error', () => {});
  // Between two attempts to connect, ioredis would leave waiting commands pending for ever.
  if (redis.status === 'reconnecting') redis.connect().catch(() => {});
  redis.disconnect();
}
