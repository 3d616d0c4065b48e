import { type ChainableCommander, Redis, type RedisOptions } from 'ioredis';
import type { Clock } from './clock.ts';
import { describeError, IssuanceError } from './errors.ts';
import type { Log } from './log.ts';

export type { Redis } from 'ioredis';

/** A connection to Redis, and what every key of Quarry's begins with there. */
export type Store = { redis: Redis; prefix: string };

/**
 * How a connection behaves while Redis is away: `impatient` fails a command at once (a request is waiting for it),
 * `patient` keeps it until Redis is back (a worker has nothing better to do).
 */
export type Patience = 'impatient' | 'patient';

/** @param url `redis://`, `rediss://`, or `unix:/path` of a socket */
export function openRedis(url: string, patience: Patience, log: Log): Redis {
  const options: RedisOptions = {
    connectTimeout: 5_000,
    // Whoever is impatient has clients, or a CA, waiting for Redis's return.
    retryStrategy: attempt =>
      Math.min(50 * 2 ** Math.min(attempt, 6), patience === 'impatient' ? 500 : 2_000),
    ...(patience === 'impatient'
      ? { enableOfflineQueue: false, commandTimeout: 800, maxRetriesPerRequest: 0 }
      : { maxRetriesPerRequest: null }),
  };
  const redis = url.startsWith('unix:')
    ? new Redis(url.slice('unix:'.length), options)
    : new Redis(url, options);
  reportOutages(redis, log);
  return redis;
}

/** Says once that Redis is away and once that it is back, however often a connection is tried in between. */
export function reportOutages(redis: Redis, log: Log): void {
  let away = false;
  redis.on('error', error => {
    if (!away) log.warn({ reason: describeError(error) }, 'Redis cannot be reached, trying again');
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('Redis is back');
    away = false;
  });
}

/** Whether Redis was away at a moment since some time, as far as a connection of this process has noticed. */
export type Outages = {
  /** @param time milliseconds since the epoch */
  anySince(time: number): boolean;
};

export function watchOutages(redis: Redis, clock: Clock): Outages {
  let away = redis.status !== 'ready';
  let ended = Number.NEGATIVE_INFINITY;
  redis.on('close', () => {
    away = true;
  });
  redis.on('ready', () => {
    away = false;
    ended = clock.now();
  });
  return { anySince: time => away || ended >= time };
}

/** What a role says of itself while it cannot reach Redis; `undefined` while it can. */
export const whyRedisIsAway = (redis: Redis) =>
  redis.status === 'ready' ? undefined : 'Redis cannot be reached';

/** Resolves once Redis answers; rejects with the signal's reason when that fires first. */
export async function untilRedisAnswers(redis: Redis, clock: Clock, signal: AbortSignal): Promise<void> {
  while (redis.status !== 'ready') await clock.sleep(100, signal);
}

/**
 * Runs commands that a request depends on.
 *
 * @throws IssuanceError `unavailable` whatever goes wrong: a failing Redis is not the client's fault and not a bug
 */
export async function needingRedis<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw new IssuanceError('unavailable', 'Redis cannot be reached', { cause: error });
  }
}

/** For a prefix in a MATCH pattern. */
export const escapeGlob = (text: string) => text.replace(/[\\*?[\]]/g, '\\$&');

/** Runs the commands of a transaction. Rejects when one of them failed, which `exec` alone would pass over. */
export async function runAll(commands: ChainableCommander): Promise<unknown[]> {
  const results = (await commands.exec()) ?? [];
  const failed = results.find(([error]) => error !== null);
  if (failed) throw failed[0];
  return results.map(([, result]) => result);
}

/** What fails from here on is no outage, and nobody's concern. */
export function closeRedis(redis: Redis): void {
  redis.removeAllListeners('error').on('error', () => {});
  redis.disconnect();
}
