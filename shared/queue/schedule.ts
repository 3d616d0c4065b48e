import type { Clock, Log } from '../base/basics.ts';
import type { Live } from '../base/live.ts';
import { runScript, type Store, shapeOf, toScript } from '../base/redis.ts';
import { runAll } from '../base/refusals.ts';
import { openQueue } from './bullmq.ts';

export const SCHEDULE_QUEUE = 'schedule';

/** The job's name says all. */
export type TaskData = Record<string, never>;

export const isTaskData = shapeOf<TaskData>({});

/** Work that comes again and again. */
export type RepeatedTask = {
  /** One word, such as `expire` or `profile/web`. */
  name: string;
  /** The rule of `next` in words: when it changes, the task is planned anew. */
  rule: string;
  /** When it is due after `now`; both in milliseconds since the epoch. */
  next(now: number): number;
};

/**
 * Knows when each task is due and enqueues it then, for any number of schedulers. Redis keeps the times, by
 * Quarry's clock. BullMQ's repeating jobs would not do: what fell due while no scheduler ran is to be done at
 * once, and once.
 */
export type Schedule = AsyncDisposable & {
  /** Plans new tasks, which are due at once, and drops those that are no longer configured. */
  plan(now: number): Promise<void>;
  /** Enqueues each task that is due, once, however many schedulers do so at the same time. */
  enqueueDue(now: number): Promise<void>;
  /** Plans anew what is due later than its rule says. @returns how many tasks that were */
  drawBack(now: number): Promise<number>;
};

/**
 * Moves a task on, unless another scheduler has. KEYS: times. ARGV: the task's name, when it was due, its
 * next time.
 */
const MOVE_ON = toScript(`
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1`);

/** A run that was cut off, or that failed, is tried again a few times before the next one is due. */
const RETRIES = { attempts: 3, backoff: { type: 'fixed', delay: 5_000 } };
/** While BullMQ keeps the id of a job, it refuses a second job of the same run. */
const KEPT = { removeOnComplete: { age: 3_600 }, removeOnFail: { age: 3_600 } };

/** @param tasks those of the moment */
export function openSchedule(
  tasks: Live<readonly RepeatedTask[]>,
  { store, clock, log }: { store: Store; clock: Clock; log: Log },
): Schedule {
  const { redis } = store;
  const [times, rules] = scheduleKeys(store.prefix);
  const queue = openQueue<TaskData>(SCHEDULE_QUEUE, { store, clock, log });

  return {
    async plan(now) {
      const planned = tasks.current;
      const known = await redis.hgetall(rules);
      for (const { name, rule } of planned) {
        if (known[name] === rule) continue;
        await redis.zadd(times, now, name);
        await redis.hset(rules, name, rule);
      }
      for (const name of Object.keys(known).filter(one => !planned.some(({ name }) => name === one))) {
        await runAll(redis, changes => changes.zrem(times, name).hdel(rules, name));
      }
    },
    async enqueueDue(now) {
      const found = await redis.zrangebyscore(times, '-inf', now, 'WITHSCORES');
      for (let index = 0; index < found.length; index += 2) {
        const [name = '', due = ''] = found.slice(index, index + 2);
        const task = tasks.current.find(one => one.name === name);
        if (!task) continue; // it belongs to a scheduler with another configuration
        // During a run BullMQ drops the next job of the same task: a task never runs beside itself.
        await queue.add(
          name,
          {},
          { jobId: `${encodeURIComponent(name)}@${due}`, deduplication: { id: name }, ...RETRIES, ...KEPT },
        );
        await runScript(redis, MOVE_ON, [times], [name, due, Math.round(task.next(now))]);
      }
    },
    async drawBack(now) {
      let count = 0;
      for (const { name, next } of tasks.current) {
        const [latest, due] = [Math.round(next(now)), await redis.zscore(times, name)];
        if (due === null || Number(due) <= latest) continue;
        await redis.zadd(times, 'XX', latest, name);
        count++;
      }
      return count;
    },
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

/** Makes a task due at once, for any scheduler. */
export async function hastenTask({ redis, prefix }: Store, name: string, now: number): Promise<void> {
  await redis.zadd(scheduleKeys(prefix)[0], 'XX', now, name);
}

function scheduleKeys(prefix: string): [times: string, rules: string] {
  return [`${prefix}:schedule-times`, `${prefix}:schedule-rules`];
}
