import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { Queue } from 'bullmq';
import { consumeTasks } from '../../services/scheduler/consume-tasks.ts';
import type { Task } from '../../services/scheduler/tasks.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { hastenTask, openSchedule, SCHEDULE_QUEUE } from '../../shared/queue/schedule.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

const hour = 3_600_000;
const day = 24 * hour;
const start = Date.parse('2026-11-01T00:00:00Z');

const { url: redisUrl, redis: own, newStore } = await startOwnRedis();
const newPrefix = () => newStore().prefix;

const everyHours = (name: string, hours: number, run: Task['run']): Task => ({
  ...{ name, rule: `every ${hours}`, run },
  next: now => (Math.floor(now / (hours * hour)) + 1) * hours * hour,
});

/** What one scheduler process has. */
function openScheduler(prefix: string, tasks: Task[]) {
  const redis = openRedis({ url: redisUrl }, 'patient', quietLog);
  const schedule = openSchedule(
    { current: tasks },
    { store: { redis, prefix }, clock: systemClock, log: quietLog },
  );
  const consumer = consumeTasks(
    { current: tasks },
    {
      redisAddress: { url: redisUrl },
      prefix,
      clock: systemClock,
      log: quietLog,
      onEnd: () => {},
    },
  );
  return {
    ...schedule,
    redis,
    async [Symbol.asyncDispose]() {
      await consumer[Symbol.asyncDispose]();
      await schedule[Symbol.asyncDispose]();
      closeRedis(redis);
    },
  };
}

/**
 * Waits for so many runs, and until BullMQ has heard of their end: a task that still runs is not enqueued
 * again.
 */
async function untilRun(prefix: string, what: string, runs: () => boolean): Promise<void> {
  const underWay = (state: 'wait' | 'active') => own.llen(`${prefix}:${SCHEDULE_QUEUE}:${state}`);
  await waitUntil(what, async () => runs() && (await underWay('wait')) + (await underWay('active')) === 0);
}

suite('the schedule', () => {
  test('has two schedulers do every task once and loses none, while the clock is turned by two days', async () => {
    const prefix = newPrefix();
    const clock = turnedClock(start);
    const runs: string[] = [];
    const note = (name: string) => async () => void runs.push(`${name} ${(clock.now() - start) / hour}`);
    const tasks = () => [everyHours('hourly', 1, note('hourly')), everyHours('a:b/c', 12, note('a:b/c'))];
    await using one = openScheduler(prefix, tasks());
    await using two = openScheduler(prefix, tasks());
    const schedulers = [one, two];
    await Promise.all(schedulers.map(({ plan }) => plan(clock.now())));
    const expected: string[] = [];
    for (let hours = 0; hours <= 48; hours++) {
      expected.push(`hourly ${hours}`, ...(hours % 12 === 0 ? [`a:b/c ${hours}`] : []));
      await Promise.all([...schedulers, ...schedulers].map(({ enqueueDue }) => enqueueDue(clock.now())));
      await untilRun(prefix, `the runs of hour ${hours}`, () => runs.length >= expected.length);
      clock.turn(hour);
    }
    assert.deepEqual(runs.sort(), expected.sort());
  });

  test('catches up at once, and once, what fell due while no scheduler ran', async () => {
    const prefix = newPrefix();
    const clock = turnedClock(start);
    let runs = 0;
    const tasks = [everyHours('hourly', 1, async () => void runs++)];
    {
      await using scheduler = openScheduler(prefix, tasks);
      await scheduler.plan(clock.now());
      await scheduler.enqueueDue(clock.now());
      await untilRun(prefix, 'the first run', () => runs === 1);
    }
    clock.turn(3 * day + 1);
    await using scheduler = openScheduler(prefix, tasks);
    await scheduler.plan(clock.now());
    await scheduler.enqueueDue(clock.now());
    await untilRun(prefix, 'the second run', () => runs === 2);
    await scheduler.enqueueDue(clock.now());
    clock.turn(hour);
    await scheduler.enqueueDue(clock.now());
    await waitUntil('the third run', () => runs === 3);
  });

  test('plans a task anew when its rule has changed, and drops one that is configured no more', async () => {
    const prefix = newPrefix();
    const runs: string[] = [];
    const task = (name: string, hours: number) => everyHours(name, hours, async () => void runs.push(name));
    {
      await using scheduler = openScheduler(prefix, [task('a', 1000), task('b', 1000)]);
      await scheduler.plan(start);
      await scheduler.enqueueDue(start);
      await waitUntil('both', () => runs.length === 2);
    }
    await using scheduler = openScheduler(prefix, [task('a', 1)]);
    await scheduler.plan(start + 1);
    await scheduler.enqueueDue(start + 1);
    await waitUntil('the changed one', () => runs.length === 3);
    assert.equal(runs[2], 'a');
    assert.deepEqual(await scheduler.redis.zrangebyscore(`${prefix}:schedule-times`, '-inf', '+inf'), ['a']);
  });

  test('tries a task that failed again before its next turn', async () => {
    let runs = 0;
    const prefix = newPrefix();
    const failing = everyHours('failing', 1, async () => {
      if (++runs === 1) throw new Error('not yet');
    });
    await using scheduler = openScheduler(prefix, [failing]);
    await scheduler.plan(start);
    await scheduler.enqueueDue(start);
    await waitUntil('the second try', () => runs === 2);
  });

  test('does a task at once that somebody hastens', async () => {
    let runs = 0;
    const prefix = newPrefix();
    await using scheduler = openScheduler(prefix, [everyHours('now', 1000, async () => void runs++)]);
    await scheduler.plan(start);
    await scheduler.enqueueDue(start);
    await untilRun(prefix, 'the first run', () => runs === 1);
    await hastenTask({ redis: scheduler.redis, prefix }, 'now', start + 1);
    await scheduler.enqueueDue(start + 1);
    await waitUntil('the hastened run', () => runs === 2);
  });

  test('leaves a task to the schedulers that are configured for it, while others still are not', async () => {
    const prefix = newPrefix();
    const clock = turnedClock(start);
    await using old = openScheduler(prefix, []);
    await old.plan(clock.now());
    await using planner = openSchedule(
      { current: [everyHours('new', 1, async () => {})] },
      {
        store: { redis: old.redis, prefix },
        clock: systemClock,
        log: quietLog,
      },
    );
    await planner.plan(clock.now());
    await planner.enqueueDue(clock.now());
    const queue = new Queue(SCHEDULE_QUEUE, { connection: old.redis, prefix });
    await waitUntil('the old one to have had it', async () => (await queue.getDelayedCount()) === 1);
    await queue.close();
    let runs = 0;
    await using _new = openScheduler(prefix, [everyHours('new', 1, async () => void runs++)]);
    await waitUntil('the new one to have it', () => runs === 1);
  });

  test('hands the task of a scheduler that stops over to another', async () => {
    const prefix = newPrefix();
    const begun: string[] = [];
    const waiting = (name: string) =>
      everyHours('long', 1000, signal => {
        begun.push(name);
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      });
    const first = openScheduler(prefix, [waiting('first')]);
    await first.plan(start);
    await first.enqueueDue(start);
    await waitUntil('the task to begin', () => begun.length === 1);
    await using _second = openScheduler(prefix, [
      everyHours('long', 1000, async () => void begun.push('second')),
    ]);
    await first[Symbol.asyncDispose]();
    await waitUntil('the second to take it', () => begun.length === 2);
    assert.deepEqual(begun, ['first', 'second']);
  });

  test('has a task that a killed scheduler was doing done by another, once', async () => {
    const prefix = newPrefix();
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'hanging-scheduler.ts'), redisUrl, prefix],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    assert.equal(said.toString(), 'begun\n');
    child.kill('SIGKILL');
    await once(child, 'exit');
    let runs = 0;
    await using _other = openScheduler(prefix, [everyHours('hanging', 1000, async () => void runs++)]);
    await waitUntil('the other to do it', () => runs > 0);
    assert.equal(runs, 1);
  });
});
