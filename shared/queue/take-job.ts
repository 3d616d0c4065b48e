import type { Redis } from '../base/redis.ts';

/** BullMQ's scripts that take a job, and which of their keys is the marker. */
export const takingScripts: Record<string, number> = { moveToActive: 11, moveToFinished: 14 };

/**
 * BullMQ's marker wakes a worker that waits for a job, and its scripts set it with each job that is taken,
 * as others may wait for a worker. Where none does, it would send a worker to look for nothing. Then it
 * only tells, as BullMQ has it do, when the next delayed job is due: who knew that may have no room now.
 *
 * KEYS and ARGV: BullMQ's. Of KEYS, 1 and 3 are the jobs that wait for a worker, 7 those that are delayed.
 * Answers as BullMQ; where a job was taken and none is left that waits, it has at `LEFT` when the next
 * delayed one is due, in milliseconds since the epoch, or 0.
 */
const withRest = (lua: string, marker: number) => `
local function run(KEYS, ARGV)
${lua}
end
local taken = run(KEYS, ARGV)
if type(taken) ~= 'table' or type(taken[1]) ~= 'table' then return taken end
if redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[3]) > 0 then return taken end
redis.call('ZREM', KEYS[${marker}], '0')
local due = (redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2] or 0) / 0x1000
if due > 0 then redis.call('ZADD', KEYS[${marker}], due, '1') end
taken[5] = due
return taken`;

/** Where the answer is, counted from 0. */
export const LEFT = 4;

/** Has BullMQ's scripts say whether they have left a job that waits. @param redis before BullMQ has it */
export function sayWhatIsLeft(redis: Redis): Redis {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => {
    const [script = ''] = name.split(':'); // a version follows
    const marker = takingScripts[script];
    const { lua } = definition;
    define(name, marker === undefined ? definition : { ...definition, lua: withRest(lua, marker) });
  };
  return redis;
}
