import type { Clock } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import { needingRedis, runScript, type Store, toScript } from '../base/redis.ts';
import { SIGN_QUEUE } from './sign-job.ts';
import type { SignQueue } from './sign-queue.ts';
import { deduplicationId } from './sign-records.ts';
import { POSTS } from './turns.ts';

// How many orders of an auth block may wait or run (`[auth] queue-max`).

/** Milliseconds: when a client that was refused may come again. */
const SOONEST = 5_000;
const LATEST = 300_000;
/** In so much of the time that an order takes now, as large a part of the places is free again. */
const PART_OF_AGE = 0.1;

/**
 * Gives a job that is about to be made one of its block's places, unless it joins another job. Jobs that
 * ended without a word are looked for once a second at most, and not before they can have been made.
 *
 * KEYS: the jobs under way by when they came; when that was looked for; the job of the same; the turns.
 * ARGV: what the keys of jobs begin with, how many places, the job, the block. Answers -1 where it has a
 * place, else the age of the eldest job in milliseconds; the turn that the job was given is taken back then.
 */
const TAKE_PLACE = toScript(`
if redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[2])
if redis.call('ZCARD', KEYS[1]) >= most and redis.call('SET', KEYS[2], 1, 'NX', 'PX', 1000) then
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 10000)) do
    local key = ARGV[1] .. job
    local is_over = redis.call('EXISTS', key) == 0 or redis.call('HEXISTS', key, 'finishedOn') == 1
    if is_over then redis.call('ZREM', KEYS[1], job) end
  end
end
if redis.call('ZCARD', KEYS[1]) < most then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  return -1
end
if redis.call('HEXISTS', KEYS[4], 'new/' .. ARGV[4]) == 1 then
  redis.call('HINCRBY', KEYS[4], 'new/' .. ARGV[4], -1)
end
return math.max(now - redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2], 0)`);

/**
 * The queue with bounds: a post that would make one job too many of its block is refused with `rateLimited`.
 * One that joins a job never is, and no renewal.
 *
 * @param most of the blocks that have such a bound
 */
export function withQueueMax(
  queue: SignQueue,
  { redis, prefix }: Store,
  most: ReadonlyMap<string, number>,
  clock: Clock,
): SignQueue {
  if (most.size === 0) return queue;
  const jobs = `${prefix}:${SIGN_QUEUE}:`;

  async function takePlace(block: string, same: string, id: string, places: number): Promise<void> {
    const queued = queuedKey(prefix, block);
    const keys = [queued, `${queued}/looked`, `${jobs}de:${same}`, `${prefix}:turns:${POSTS.turns}`];
    const age = Number(await runScript(redis, TAKE_PLACE, keys, [jobs, places, id, block]));
    if (age >= 0) throw refuseFull(clock.now(), age);
  }

  return {
    ...queue,
    enqueue(data, reserve, against) {
      const places = data.due === undefined ? most.get(data.block) : undefined;
      if (places === undefined) return queue.enqueue(data, reserve, against);
      const takeFirst = async (newId: string) => {
        // First, as a post that is refused must have reserved nothing.
        await needingRedis(() => takePlace(data.block, deduplicationId(data), newId, places));
        return reserve ? reserve(newId) : newId;
      };
      return queue.enqueue(data, takeFirst, against);
    },
  };
}

/** @param age of the eldest order that is under way, in milliseconds */
function refuseFull(now: number, age: number): IssuanceError {
  const wait = Math.min(Math.max(age * PART_OF_AGE, SOONEST), LATEST);
  const detail = 'too many orders are under way already: post again later';
  return new IssuanceError('rateLimited', detail, { retryAfter: now + wait });
}

const queuedKey = (prefix: string, block: string) => `${prefix}:queued:${block}`;
