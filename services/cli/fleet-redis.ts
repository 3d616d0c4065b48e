import { isAbsolute } from 'node:path';
import { type Clock, systemClock } from '../../shared/base/basics.ts';
import { readSecretOfRoles, refuseOtherSecret } from '../../shared/base/installation.ts';
import { openLog } from '../../shared/base/log.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Store } from '../../shared/base/redis.ts';
import { type RedisAddress, type RedisPlace, whereOf } from '../../shared/base/redis-address.ts';
import { openRedisClock } from '../../shared/base/redis-clock.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { parseRedis, privateSocket, type RedisConfig } from '../../shared/config/redis.ts';
import { addressFor, findPlace } from '../../shared/config/redis-access.ts';
import { SectionReader } from '../../shared/config/section-reader.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { explainUnreached } from '../../shared/setup/redis-unreached.ts';
import { UsageError } from './command.ts';

const PATIENCE = 3_000;

/** The Redis of a running fleet, and its clock, for a command that reads or changes what is there. */
export type FleetRedis = Disposable & { store: Store; address: RedisAddress; clock: Clock };

/**
 * Without files, the Redis that REDIS_URL names.
 *
 * @throws ConfigError, UsageError, or an Error in one line where Redis cannot be reached
 */
export async function openFleetRedis(files: string[], env: Environment): Promise<FleetRedis> {
  const config = files.length > 0 ? (await loadConfig(files, env)).redis : readEnvironment(env);
  const reached = await reachFleetRedis(config);
  if (reached.fault === undefined) return reached;
  reached[Symbol.dispose]();
  throw new Error(reached.fault);
}

/** The same, with the secret that its roles share. */
export type FleetWithSecret = FleetRedis & { secret: Buffer; config: Config };

/**
 * For a command that makes what only the roles of the installation may.
 *
 * @throws as `openFleetRedis`, and an Error in one line where the secret is absent, or is not theirs
 */
export async function openFleetWithSecret(files: string[], env: Environment): Promise<FleetWithSecret> {
  const config = await loadConfig(files, env);
  const secret = await readSecretOfRoles(config.secretFile);
  const opened = await openFleetRedis(files, env);
  try {
    await refuseOtherSecret(opened.store, { secret, file: config.secretFile });
  } catch (error) {
    opened[Symbol.dispose]();
    throw error;
  }
  return { ...opened, secret, config };
}

/**
 * Does not throw when Redis cannot be reached: `fault` says so in one line, for a caller that can go on
 * without it.
 */
export async function reachFleetRedis(
  config: RedisConfig,
): Promise<FleetRedis & { fault: string | undefined }> {
  const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
  const place = findPlace(config) ?? { url: `unix:${privateSocket(config.dir)}` };
  const address = addressFor('cli', place, config);
  const redis = openRedis(address, 'impatient', log);
  let fault: string | undefined;
  redis.once('error', async () => {
    fault = await explainUnreached('cli', address);
  });
  const deadline = systemClock.now() + PATIENCE;
  const isOpen = () => redis.status !== 'ready' && fault === undefined;
  while (isOpen() && systemClock.now() < deadline) await systemClock.sleep(20);
  if (isOpen()) fault = describeFault(config, place);
  const store = { redis, prefix: config.prefix };
  const clock = openRedisClock(redis, log);
  if (fault === undefined) await clock.untilTold(AbortSignal.timeout(PATIENCE)).catch(() => {});
  return {
    ...{ store, address, clock, fault },
    [Symbol.dispose]() {
      clock[Symbol.dispose]();
      closeRedis(redis);
    },
  };
}

function describeFault(config: RedisConfig, place: RedisPlace): string {
  const { dir } = config;
  const elsewhere = findPlace(config) === undefined && !isAbsolute(dir);
  const started = elsewhere ? ', and was it started in this folder, where the [redis] dir begins' : '';
  return `Redis at ${whereOf(place)} cannot be reached; does quarry run${started}?`;
}

function readEnvironment(env: Environment): RedisConfig {
  const config = parseRedis(
    new SectionReader(
      { name: 'redis', file: '', line: 0, options: [] },
      { env, warnings: [], hidden: [], secretFiles: [] },
    ),
    env,
  );
  if (config.url === undefined) throw new UsageError('give a configuration file, or set REDIS_URL');
  return config;
}
