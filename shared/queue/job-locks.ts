import { runScript, type Store, toScript } from '../base/redis.ts';
import type { JobLock } from './consumer.ts';

// A worker holds a job by BullMQ's lock, which it renews. While Redis is away, or takes no writes, the lock
// runs out: it is the worker's again afterwards, unless another one has taken the job by then. BullMQ counts
// in the job how often it was taken.

/** Milliseconds that a lock lives without being renewed. */
export const LOCK_DURATION = 8_000;

/**
 * For scripts that write for a job only while it is the caller's: a function `is_held`. KEYS[1] and KEYS[2]
 * are the job's lock and the job, ARGV[1] and ARGV[2] the lock's token and how often the job had been taken.
 */
export const IS_HELD = `
local function is_held()
  local holder = redis.call('GET', KEYS[1])
  if holder then return holder == ARGV[1] end
  return redis.call('HGET', KEYS[2], 'ats') == ARGV[2]
end`;

/**
 * KEYS: the jobs of which BullMQ looks whether they have stalled; of each job its lock and the job. ARGV: how
 * long locks live; of each job its id, its token, how often it had been taken. Answers the ids of those that
 * are lost.
 */
const RENEW = toScript(`
local lost = {}
for i = 1, (#KEYS - 1) / 2 do
  local lock, job, at = KEYS[2 * i], KEYS[2 * i + 1], 3 * i - 1
  local holder = redis.call('GET', lock)
  local is_free = not holder and redis.call('HGET', job, 'ats') == ARGV[at + 2]
  if holder == ARGV[at + 1] or is_free then
    redis.call('SET', lock, ARGV[at + 1], 'PX', ARGV[1])
    redis.call('SREM', KEYS[1], ARGV[at])
  else
    lost[#lost + 1] = ARGV[at]
  end
end
return lost`);

/** Has locks live on. @returns the ids of jobs that another worker has, or that are over */
export type RenewLocks = (locks: readonly JobLock[]) => Promise<string[]>;

export function openRenewLocks({ redis, prefix }: Store, queue: string): RenewLocks {
  const jobs = `${prefix}:${queue}:`;
  return async locks => {
    const keys = locks.flatMap(({ jobId }) => [`${jobs}${jobId}:lock`, `${jobs}${jobId}`]);
    const held = locks.flatMap(({ jobId, token, takes = '' }) => [jobId, token, takes]);
    return (await runScript(redis, RENEW, [`${jobs}stalled`, ...keys], [LOCK_DURATION, ...held])) as string[];
  };
}
