import { toScript } from '../base/redis.ts';
import { IS_HELD } from './job-locks.ts';
import { TELL_MOVE } from './moves.ts';

// What Redis does with the records of sign jobs.

/** KEYS and ARGV: those of `IS_HELD`. Answers 1 where the job is the caller's. */
export const HELD = toScript(`${IS_HELD}
return is_held() and 1 or 0`);

/**
 * Writes only while the job is still the caller's: a worker that lost it must not overwrite its successor.
 * What is sent twice, as its answer was lost, is told once.
 *
 * KEYS: lock, job, what to write, who hears of it, and the trail where there is an event. ARGV: token, takes,
 * its value, its life, the channel of moves, the job's id, the event's entry.
 */
export const WRITE_FENCED = toScript(`${IS_HELD}${TELL_MOVE}
if not is_held() then return 0 end
local before = redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4], 'GET')
if KEYS[5] and before ~= ARGV[3] then redis.call('XADD', KEYS[5], unpack(ARGV, 7)) end
tell_move(KEYS[4], ARGV[5], ARGV[6])
return 1`);

/**
 * Writes a result under the same fence, and publishes it; after it the checkpoint is of little use, and
 * others may order the same names.
 *
 * KEYS: lock, job, result, checkpoint, flight, trail, and what else is to be deleted. ARGV: token, takes,
 * result, its life, the checkpoint's, the job's id, the channel, and the entry where there is an event.
 */
export const WRITE_RESULT = toScript(`${IS_HELD}
if not is_held() then return 0 end
redis.call('EXPIRE', KEYS[4], ARGV[5])
local before = redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4], 'GET')
if redis.call('GET', KEYS[5]) == ARGV[6] then redis.call('DEL', KEYS[5]) end
if ARGV[8] and before ~= ARGV[3] then redis.call('XADD', KEYS[6], unpack(ARGV, 8)) end
if KEYS[7] then redis.call('DEL', unpack(KEYS, 7)) end
redis.call('PUBLISH', ARGV[7], ARGV[6] .. ' ' .. ARGV[3])
return 1`);

/**
 * Takes the flight where it is free or this job's already, and reads what may stand against the order.
 *
 * KEYS: lock, job, flight, what is to be read. ARGV: token, takes, the job's id, the flight's life. Answers
 * nil where another job has it, and 0 where another worker has the job.
 */
export const ENTER_FLIGHT = toScript(`${IS_HELD}
if not is_held() then return 0 end
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[3] then return false end
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
local values = {}
for i = 4, #KEYS do values[i - 3] = redis.call('GET', KEYS[i]) end
return values`);

/** KEYS: lock, job, flight. ARGV: token, takes, the job's id. Answers 0 where another worker has the job. */
export const LEAVE_FLIGHT = toScript(`${IS_HELD}
if not is_held() then return 0 end
if redis.call('GET', KEYS[3]) == ARGV[3] then redis.call('DEL', KEYS[3]) end
return 1`);
