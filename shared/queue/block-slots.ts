import { runScript, type Store, toScript } from '../base/redis.ts';
import { SIGN_QUEUE } from './sign-job.ts';

// How many orders of an auth block run at once in the whole fleet (`[auth] slots`; turns.md).

/**
 * Gives the slots of a block to its jobs, those of the least rank first. A slot belongs to a job, whatever
 * worker has it, until the job has ended or leaves it; so one that was killed keeps it until it runs again.
 * A job without one is parked among BullMQ's delayed jobs, and is due as soon as it gets one.
 *
 * KEYS: the jobs that have a slot, those that are parked by their rank; BullMQ's delayed jobs and its marker,
 * which wakes a worker; those that count for `queue-max`. ARGV: what the keys of jobs begin with, how many
 * slots there are, `enter`, `leave`, `end` or `fill`; a job, its rank. Answers 1 where that job has a slot.
 */
const ARRANGE = toScript(`
if ARGV[3] == 'end' then redis.call('ZREM', KEYS[5], ARGV[4]) end
local slots, act, id = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local function is_over(job)
  return redis.call('EXISTS', ARGV[1] .. job) == 0 or redis.call('HEXISTS', ARGV[1] .. job, 'finishedOn') == 1
end
local function make_due(job)
  if redis.call('ZSCORE', KEYS[3], job) then
    redis.call('ZADD', KEYS[3], 0, job)
    redis.call('ZADD', KEYS[4], 0, '0')
  end
end
if act == 'leave' or act == 'end' then
  redis.call('SREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
elseif act == 'enter' and redis.call('SISMEMBER', KEYS[1], id) == 0 then
  redis.call('ZADD', KEYS[2], ARGV[5], id)
end
if redis.call('SCARD', KEYS[1]) >= slots and redis.call('EXISTS', KEYS[2]) == 1 then
  for _, job in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if is_over(job) then redis.call('SREM', KEYS[1], job) end
  end
end
while redis.call('SCARD', KEYS[1]) < slots do
  local job = redis.call('ZPOPMIN', KEYS[2])[1]
  if not job then break end
  if not is_over(job) then
    redis.call('SADD', KEYS[1], job)
    if job ~= id then make_due(job) end
  end
end
local has = redis.call('SISMEMBER', KEYS[1], id)
if act == 'fill' and has == 1 then make_due(id) end
return has`);

/** The slots of one block. */
export type BlockSlots = {
  /**
   * Takes a slot for a job, or keeps the one that it has. Of those that are parked, the job of the least rank
   * gets the next one.
   *
   * @returns whether it has one now; else it is to be given back, and then `parked` called
   */
  enter(jobId: string, rank: number): Promise<boolean>;
  /** Once a job was given back: it may have been given a slot in between. */
  parked(jobId: string): Promise<void>;
  /** When a job waits for what is no order: another one of the block gets its slot. */
  leave(jobId: string): Promise<void>;
  /** When it has ended. */
  end(jobId: string): Promise<void>;
  /** Gives away slots that are free, as after a change of the configuration. */
  fill(): Promise<void>;
};

/** @param slots how many there are; `undefined`: as many as there are jobs */
export function openBlockSlots({ redis, prefix }: Store, block: string, slots?: number): BlockSlots {
  const queue = `${prefix}:${SIGN_QUEUE}:`;
  const own = ['slots', 'parked'].map(name => `${prefix}:${name}:${block}`);
  const keys = [...own, `${queue}delayed`, `${queue}marker`, `${prefix}:queued:${block}`];
  const arrange = async (act: string, jobId = '', rank = 0) =>
    (await runScript(redis, ARRANGE, keys, [queue, slots ?? 2 ** 31, act, jobId, rank])) === 1;
  return {
    enter: async (jobId, rank) => slots === undefined || arrange('enter', jobId, rank),
    parked: async jobId => void (await arrange('fill', jobId)),
    leave: async jobId => void (slots !== undefined && (await arrange('leave', jobId))),
    end: async jobId => void (await arrange('end', jobId)),
    fill: async () => void (await arrange('fill')),
  };
}
