import { systemClock } from '../../shared/base/basics.ts';
import type { RedisAddress, RedisPlace } from '../../shared/base/redis-address.ts';
import type { Role } from '../../shared/base/role.ts';
import { addressFor } from '../../shared/config/redis-access.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { rightsOf } from '../../shared/setup/redis-acl.ts';
import { type Fitness, lookAtRedis } from '../../shared/setup/redis-fitness.ts';
import type { RoleName } from './start-role.ts';

/** Milliseconds that Redis is given to answer before the roles start. */
const FIRST_LOOK = 1_000;

/** How a role of this process looks whether it could work with Redis. */
type RedisLook = {
  name: RoleName;
  /** With the login of the role. */
  redisAddress: RedisAddress;
  /** With the rights that it needs as it is configured now. */
  look(): Promise<Fitness>;
  /** With those that another configuration would have it need. */
  lookBy(next: Config): Promise<Fitness>;
};

/** @param live whose `current` is the configuration that the roles go by */
export function toRedisLooks(
  roles: readonly RoleName[],
  place: RedisPlace,
  live: { current: Config },
): RedisLook[] {
  const { redis } = live.current;
  return roles.map(name => {
    const redisAddress = addressFor(name, place, redis);
    const lookBy = (next: Config) => lookAtRedis(name, redisAddress, rightsOf(name, next));
    return { name, redisAddress, lookBy, look: () => lookBy(live.current) };
  });
}

/**
 * Looks for all roles at once, before one connects: of what is wrong then, libraries tell in their own words.
 *
 * @returns whether Redis is there
 * @throws Error in one line where a role could never work with it
 */
export async function refuseUnfit(looks: readonly RedisLook[], config: Config): Promise<boolean> {
  const seen = await Promise.all(looks.map(({ lookBy }) => inTime(lookBy(config))));
  for (const one of seen) if (one.state === 'unfit') throw new Error(one.fault);
  return seen.some(({ state }) => state === 'fit');
}

/** A Redis that does not answer at once is waited for. */
async function inTime(look: Promise<Fitness>): Promise<Fitness> {
  const late = systemClock.sleep(FIRST_LOOK).then((): Fitness => ({ state: 'away' }));
  return Promise.race([look, late]);
}

/**
 * A role's own fault, or what Redis lacks for it. Whether Redis takes writes is looked at first, as where it
 * does not the rest may never come.
 */
export function findFaultBy(own: Role['findFault'], { look }: RedisLook): Role['findFault'] {
  const shared = shareLooks(look);
  return async () => (await own?.()) ?? shared();
}

/** While one look is under way, others wait for it. Where Redis is away, roles say so themselves. */
function shareLooks(look: () => Promise<Fitness>): () => Promise<string | undefined> {
  let looking: Promise<string | undefined> | undefined;
  const start = async () => {
    const fitness = await look().finally(() => {
      looking = undefined;
    });
    return fitness.state === 'unfit' ? fitness.fault : undefined;
  };
  return () => {
    looking ??= start();
    return looking;
  };
}
