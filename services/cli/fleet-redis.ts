import { systemClock } from '../../shared/base/clock.ts';
import { openLog } from '../../shared/base/log.ts';
import { closeRedis, openRedis, type Redis } from '../../shared/base/redis.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { parseRedis, type RedisConfig } from '../../shared/config/redis.ts';
import { SectionReader } from '../../shared/config/section-reader.ts';
import { UsageError } from './command.ts';

/** The Redis of a running fleet, for a command that looks into it. */
export type FleetRedis = Disposable & { redis: Redis; prefix: string };

/**
 * Without files, the Redis that REDIS_URL names.
 *
 * @throws ConfigError, UsageError, or an Error in one line where Redis cannot be reached
 */
export async function openFleetRedis(files: string[], env: Environment): Promise<FleetRedis> {
  const config = files.length > 0 ? (await loadConfig(files, env)).redis : readEnvironment(env);
  const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
  const url = config.url ?? `unix:${config.dir}/redis.sock`;
  const redis = openRedis(url, 'impatient', log);
  try {
    await untilReady(redis, url);
  } catch (error) {
    closeRedis(redis);
    throw error;
  }
  return { redis, prefix: config.prefix, [Symbol.dispose]: () => closeRedis(redis) };
}

function readEnvironment(env: Environment): RedisConfig {
  const config = parseRedis(new SectionReader({ name: 'redis', file: '', line: 0, options: [] }, []), env);
  if (config.url === undefined) throw new UsageError('give a configuration file, or set REDIS_URL');
  return config;
}

async function untilReady(redis: Redis, url: string): Promise<void> {
  const deadline = systemClock.now() + 3_000;
  while (redis.status !== 'ready') {
    const where = url.startsWith('unix:') ? url : new URL(url).host;
    if (systemClock.now() > deadline) throw new Error(`Redis at ${where} cannot be reached; does quarry run?`);
    await systemClock.sleep(20);
  }
}
