import type { Log } from '../../shared/base/basics.ts';
import { Gauge, type Registry } from '../../shared/base/metrics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { RedisAddress } from '../../shared/base/redis-address.ts';
import { openRedisClock, type RedisClock } from '../../shared/base/redis-clock.ts';

/**
 * The clock of all roles of this process: Redis's, learnt over a connection of its own, so that nothing of
 * theirs waits behind it.
 *
 * @param redisAddress with the login of any role, as each may ask for the time
 */
export function openRolesClock(redisAddress: RedisAddress, metrics: Registry, log: Log): RedisClock {
  const redis = openRedis(redisAddress, 'impatient', log.child({}, { level: 'silent' }), {
    enableReadyCheck: false,
  });
  const clock = openRedisClock(redis, log);
  new Gauge({
    name: 'quarry_clock_difference_seconds',
    help: "How far this machine's clock is ahead of Redis's; NaN until Redis has told its time",
    registers: [metrics],
    collect() {
      this.set((clock.ahead() ?? Number.NaN) / 1_000);
    },
  });
  return {
    ...clock,
    [Symbol.dispose]() {
      clock[Symbol.dispose]();
      closeRedis(redis);
    },
  };
}
