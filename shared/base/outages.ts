import type { Redis } from 'ioredis';
import type { Clock, Log } from './basics.ts';
import { describeError } from './errors.ts';
import { describeTrouble, explainOutage, judgeRedisError } from './redis-errors.ts';
import { askOnce } from './refusals.ts';

/**
 * Logs once that Redis is away and once that it is back, however many attempts to connect fail in between.
 */
export function reportOutages(redis: Redis, log: Log): void {
  let away = false;
  redis.on('error', error => {
    const what = describeTrouble(judgeRedisError(error));
    if (!away) log.warn({ reason: explainOutage(describeError(error)) }, `${what}, trying again`);
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('Redis is back');
    away = false;
  });
}

const BEAT = 1_000;
/** Beats in a row without a byte of what was asked for; blocking commands are answered within two. */
const MOST_SILENT = 3;

/**
 * Ends a connection that does not answer, so that it is made anew: where packets vanish, neither side would
 * hear of it otherwise. One that is idle is asked once a beat.
 */
export function endSilence(redis: Redis): void {
  const { stream } = redis;
  if (stream.destroyed) return;
  let [heard, silent] = [0, 0];
  const beat = setInterval(listen, BEAT).unref();
  stream.on('close', () => clearInterval(beat));

  function listen() {
    const isOwed = (redis as unknown as { commandQueue: { length: number } }).commandQueue.length > 0;
    silent = isOwed && stream.bytesRead === heard ? silent + 1 : 0;
    heard = stream.bytesRead;
    if (silent >= MOST_SILENT) stream.destroy(new Error('Redis does not answer'));
    else if (!isOwed && redis.status === 'ready') askOnce(redis, 'ping').catch(() => {});
  }
}

/** The times when Redis was away, as far as a connection of this process has noticed. */
export type Outages = {
  /** Whether Redis was away at any moment since then. @param time milliseconds since the epoch */
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
