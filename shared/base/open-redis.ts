import type { Redis } from 'ioredis';
import type { Log } from './basics.ts';
import { endSilence, reportOutages } from './outages.ts';
import { type AfterTurn, writeTogether } from './redis.ts';
import type { RedisAddress } from './redis-address.ts';
import { connectTo, type Patience } from './redis-connection.ts';
import { followSwitches } from './redis-switches.ts';
import { outlastRefusals } from './refusals.ts';

type Ways = {
  /** Whether it waits until Redis has loaded its data, for which a user needs INFO; it does by default. */
  enableReadyCheck?: boolean;
  /**
   * Whether its user gathers what several requests ask; it does not by default. Requests, and answers of a
   * CA, are read one a turn of the event loop, so else commands wait for the turns that follow at once.
   */
  gathered?: boolean;
};

export function openRedis(
  address: RedisAddress,
  patience: Patience,
  log: Log,
  { enableReadyCheck = true, gathered = false }: Ways = {},
): Redis {
  const all = new Set<Redis>();
  const afterTurn = gathered ? process.nextTick : setImmediate;
  const redis = withManners(connectTo(address, patience, enableReadyCheck), afterTurn, all);
  if ('sentinels' in address) {
    const switches = followSwitches(address, () => all);
    redis.on('end', () => switches[Symbol.dispose]());
  }
  reportOutages(redis, log);
  return redis;
}

/** BullMQ makes itself another one, which has them, too. @param all gets it while it is open */
function withManners(redis: Redis, afterTurn: AfterTurn, all: Set<Redis>): Redis {
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = options => withManners(duplicate(options), afterTurn, all);
  redis.on('connect', () => all.add(redis));
  redis.on('end', () => all.delete(redis));
  redis.on('connect', () => writeTogether(redis.stream, afterTurn));
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
