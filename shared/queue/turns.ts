import type { Seals } from '../admission/hmac.ts';
import { runScript, type Store, toScript } from '../base/redis.ts';
import type { WaitsFor } from '../order/order-state.ts';
import type { JobLock } from './bullmq.ts';
import { heardKeys, movesChannel, sealDoing, TELL_MOVE } from './moves.ts';
import { SIGN_QUEUE, type SignJobData } from './sign-job.ts';

// Which of the waiting sign jobs is taken next: those of different auth blocks take turns (turns.md).

/**
 * Priorities, as BullMQ has them: the least goes first. `back` is that of a job which comes back from a wait
 * and has no turn yet. Renewals come after all posts, as they have time.
 */
export const POSTS = { turns: 'posts', back: 1, first: 2, last: 2 ** 20 - 1 };
export const RENEWALS = { turns: 'renewals', back: 2 ** 20, first: 2 ** 20 + 1, last: 2 ** 21 - 1 };

/** Of a job's priority: whether the job has come back from a wait, and has no turn yet. */
export const hasNoTurn = (priority: number) => priority === POSTS.back || priority === RENEWALS.back;

/**
 * Start-time fair queueing: a turn is a priority, and the time is the turn of the job that is taken next. A
 * flow's next job has the turn after its last one, or the time where that is later: so it comes once in each
 * round, and a flow that was idle has saved up nothing. The time of a queue that is empty stands still. Once
 * it has come half the way, all that waits is set back.
 *
 * `turns` keeps the last turn of each flow, and under '' the latest of all. Where they are lost, jobs keep
 * the priorities that they have.
 */
const TURN = `
local UNIT = 0x100000000 -- BullMQ's score is the priority times this, and a counter
local function set_back(waiting, turns, jobs, by)
  for _, id in ipairs(waiting) do
    local priority = math.floor(redis.call('ZSCORE', KEYS[1], id) / UNIT) - by
    redis.call('ZINCRBY', KEYS[1], string.format('%.0f', -by * UNIT), id)
    if redis.call('EXISTS', jobs .. id) == 1 then redis.call('HSET', jobs .. id, 'priority', priority) end
  end
  local known = redis.call('HGETALL', turns)
  for at = 1, #known, 2 do redis.call('HSET', turns, known[at], math.max(known[at + 1] - by, 0)) end
end
local next_turn
function next_turn(waiting, turns, jobs, flow, first, last)
  local from, to = string.format('%.0f', first * UNIT), string.format('%.0f', (last + 1) * UNIT - 1)
  local head = redis.call('ZRANGEBYSCORE', waiting, from, to, 'WITHSCORES', 'LIMIT', 0, 1)
  local known = redis.call('HMGET', turns, flow, '')
  local own, latest = tonumber(known[1]) or 0, tonumber(known[2]) or first
  local now, half = head[2] and math.floor(head[2] / UNIT), first + math.floor((last - first) / 2)
  if (now or latest) > half then
    if now then set_back(redis.call('ZRANGEBYSCORE', waiting, from, to), turns, jobs, now - first)
    else redis.call('DEL', turns) end
    return next_turn(waiting, turns, jobs, flow, first, last)
  end
  local turn = now and math.min(math.max(now, own + 1), last) or latest
  if turn > latest then redis.call('HSET', turns, flow, turn, '', turn)
  elseif turn ~= own then redis.call('HSET', turns, flow, turn) end
  return turn, now ~= nil
end
`;

/**
 * Reads what was promised to whoever asks for the same, and gives the job that is about to be made its turn,
 * unless something may stand against it.
 *
 * KEYS: the jobs that wait, the turns, the promise, the job of the same; what must not be there. ARGV: what
 * the keys of jobs begin with, the block, the first and the last priority. Answers nil where something is
 * there that must not be, else { the promised job or '', the turn, or 0 where there is a job to join }.
 */
export const ASK_TURN = toScript(`${TURN}
if KEYS[5] and redis.call('EXISTS', unpack(KEYS, 5)) > 0 then return false end
local promised = redis.call('GETDEL', KEYS[3]) or ''
if redis.call('EXISTS', KEYS[4]) == 1 then return { promised, 0 } end
local turn = next_turn(KEYS[1], KEYS[2], ARGV[1], 'new/' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
return { promised, turn }`);

/**
 * Gives a job that has come back its turn, where others wait; its order goes on in turn with those that its
 * block has not begun.
 *
 * KEYS: as above, two; the lock, the job. ARGV: as above; the lock's token. Answers 1 where nobody waits.
 */
const RESUME = toScript(`${TURN}
local first, last = tonumber(ARGV[3]), tonumber(ARGV[4])
local turn, others = next_turn(KEYS[1], KEYS[2], ARGV[1], 'back/' .. ARGV[2], first, last)
if others and redis.call('GET', KEYS[3]) == ARGV[5] then redis.call('HSET', KEYS[4], 'priority', turn) end
return others and 0 or 1`);

/**
 * KEYS: the lock, the job, who hears of it. ARGV: the lock's token, the priority, what the job waits for, the
 * channel of moves, the job's id.
 */
const LEAVE = toScript(`${TELL_MOVE}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
redis.call('HSET', KEYS[2], 'priority', ARGV[2], 'doing', ARGV[3])
tell_move(KEYS[3], ARGV[4], ARGV[5])
return 1`);

/** The turns of jobs that wait for something else between. */
export type Turns = {
  /**
   * Before a job is given back to wait: it gets another turn when it comes back.
   *
   * @param why what it waits for
   */
  leave(lock: JobLock, data: SignJobData, why?: WaitsFor): Promise<void>;
  /** @returns whether a job that has come back may go on; else it has its turn, and is to be given back */
  resume(lock: JobLock, data: SignJobData): Promise<boolean>;
};

/** @param seals of the installation */
export function openTurns({ redis, prefix }: Store, seals: Seals): Turns {
  const queue = `${prefix}:${SIGN_QUEUE}:`;
  const keysOf = ({ jobId }: JobLock) => [`${queue}${jobId}:lock`, `${queue}${jobId}`];
  const kindOf = ({ due }: SignJobData) => (due === undefined ? POSTS : RENEWALS);
  return {
    async leave(lock, data, why) {
      const { jobId, token } = lock;
      const told = [sealDoing(seals, jobId, why), movesChannel(prefix), jobId];
      const keys = [...keysOf(lock), heardKeys(prefix) + jobId];
      await runScript(redis, LEAVE, keys, [token, kindOf(data).back, ...told]);
    },
    async resume(lock, data) {
      const { turns, first, last } = kindOf(data);
      const keys = [`${queue}prioritized`, turnsKey(prefix, turns), ...keysOf(lock)];
      return (await runScript(redis, RESUME, keys, [queue, data.block, first, last, lock.token])) === 1;
    },
  };
}

const turnsKey = (prefix: string, turns: string) => `${prefix}:turns:${turns}`;
