import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findObstacle, giveBack, type Sharing } from '../../services/worker/sharing.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openBlockSlots } from '../../shared/queue/block-slots.ts';
import { type HeldJob, type Later, openWorker } from '../../shared/queue/bullmq.ts';
import { isSignJobData, SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-records.ts';
import { openTurns } from '../../shared/queue/turns.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';
import { openReadyIntakeSide, signJob } from './sign-parts.ts';

const { url: redisUrl, redis, newStore } = await startOwnRedis();

const postOf = (block: string, n = 1): SignJobData => ({ ...signJob(`${block}${n}`), block });
const many = (count: number, block: string) =>
  Array.from({ length: count }, (_, index) => postOf(block, index + 1));

type Go = (job: HeldJob<SignJobData>) => Promise<'' | { until: number; hasOrder: boolean }>;

/**
 * A worker of eight slots, which runs jobs as `consumeSignJobs` does. `taken` counts how often a job was
 * taken, `went` has those that ran, and `most` how many of each block did at once.
 */
function startWorker(prefix: string, slots: Record<string, number>, go: Go = async () => '') {
  const store = { redis, prefix };
  const sharing: Sharing = {
    turns: openTurns(store, testSeals),
    slots: new Map(
      Object.entries(slots).map(([block, count]) => [block, openBlockSlots(store, block, count)]),
    ),
  };
  const seen = { taken: 0, went: [] as string[], most: new Map<string, number>() };
  const running = new Map<string, number>();
  async function run(job: HeldJob<SignJobData>): Promise<string | Later> {
    const { block, csr } = job.data;
    seen.taken++;
    const obstacle = await findObstacle(sharing, job, Date.now());
    if (obstacle) return obstacle;
    const now = (running.get(block) ?? 0) + 1;
    running.set(block, now);
    seen.most.set(block, Math.max(seen.most.get(block) ?? 0, now));
    seen.went.push(csr);
    const end = await go(job).finally(() => running.set(block, (running.get(block) ?? 0) - 1));
    if (end !== '') return giveBack(sharing, job, { end: 'later', ...end });
    await sharing.slots.get(block)?.end(job.lock.jobId);
    return '';
  }
  const consumer = { concurrency: 8, isData: isSignJobData, patience: 0, run };
  const worker = openWorker(SIGN_QUEUE, consumer, {
    redisAddress: { url: redisUrl },
    prefix,
    clock: systemClock,
    log: quietLog,
  });
  return { seen, [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose]() };
}

const gone = (prefix: string) => async () =>
  (await redis.keys(`${prefix}:sign:*`)).every(key => !/:[0-9a-f-]{36}$/.test(key));

suite('the slots of a block', () => {
  test('bound how many of its jobs run at once, and each of the others is taken twice at most', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    for (const job of [...many(200, 'a'), ...many(3, 'b')]) await intake.queue.enqueue(job);
    await using worker = startWorker(prefix, { a: 2 }, async () => delay(2, ''));
    await waitUntil('all jobs to end', gone(prefix), 60_000);
    const { seen } = worker;
    assert.equal(seen.most.get('a'), 2);
    assert.equal(new Set(seen.went).size, 203);
    assert.equal(seen.went.length, 203);
    assert.ok(seen.taken <= 2 * 203, `taken ${seen.taken} times`);
    assert.ok(seen.went.indexOf('b3') < 20, seen.went.slice(0, 30).join(' '));
    assert.deepEqual(await redis.keys(`${prefix}:slots:*`), []);
    assert.deepEqual(await redis.keys(`${prefix}:parked:*`), []);
  });

  test('are given first come first served', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    for (const job of many(30, 'a')) {
      await intake.queue.enqueue(job);
      await delay(2); // so that no two are of the same millisecond
    }
    await using worker = startWorker(prefix, { a: 1 });
    await waitUntil('all jobs to end', gone(prefix), 60_000);
    assert.deepEqual(
      worker.seen.went,
      many(30, 'a').map(({ csr }) => csr),
    );
  });

  test('hold over all workers', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    for (const job of many(60, 'a')) await intake.queue.enqueue(job);
    let [running, most] = [0, 0];
    const go: Go = async () => {
      most = Math.max(most, ++running);
      await delay(2);
      running--;
      return '';
    };
    await using _one = startWorker(prefix, { a: 3 }, go);
    await using _two = startWorker(prefix, { a: 3 }, go);
    await waitUntil('all jobs to end', gone(prefix), 60_000);
    assert.equal(most, 3);
  });

  test('stay with an order that waits for its CA, and not with one that waits for what is no order', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    let orderEnds = false;
    const waits = new Set(['a1', 'b1']);
    const go: Go = async ({ data: { csr } }) => {
      if (!waits.has(csr) || orderEnds) return '';
      return { until: Date.now() + 100, hasOrder: csr === 'a1' };
    };
    await using worker = startWorker(prefix, { a: 1, b: 1 }, go);
    for (const job of [...many(2, 'a'), ...many(2, 'b')]) await intake.queue.enqueue(job);
    const { went } = worker.seen;
    const count = (csr: string) => went.filter(one => one === csr).length;
    await waitUntil('both to have waited', () => count('a1') > 3 && count('b1') > 3, 30_000);
    assert.deepEqual([count('a2'), count('b2')], [0, 1]);
    orderEnds = true;
    await waitUntil('all jobs to end', gone(prefix), 30_000);
    assert.equal(count('a2'), 1);
  });

  test('are free again once Redis has lost the job that had one', async () => {
    const { prefix } = newStore();
    const slots = openBlockSlots({ redis, prefix }, 'a', 1);
    const job = (id: string) => redis.hset(`${prefix}:sign:${id}`, 'name', 'sign');
    await Promise.all(['one', 'two', 'three'].map(job));
    assert.deepEqual([await slots.enter('one', 1), await slots.enter('two', 2)], [true, false]);
    assert.equal(await slots.enter('one', 1), true); // as after its worker was killed
    await redis.del(`${prefix}:sign:one`);
    assert.deepEqual([await slots.enter('three', 3), await slots.enter('two', 2)], [false, true]);
    await redis.hset(`${prefix}:sign:two`, 'finishedOn', 1); // BullMQ has failed it for good
    assert.equal(await slots.enter('three', 3), true);
  });

  test('that are more, or bounded no longer, wake those that are parked', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    for (const job of many(6, 'a')) await intake.queue.enqueue(job);
    const ended = Promise.withResolvers<''>();
    await using worker = startWorker(prefix, { a: 1 }, () => ended.promise);
    await waitUntil('five to be parked', async () => (await redis.zcard(`${prefix}:sign:delayed`)) === 5);
    await openBlockSlots({ redis, prefix }, 'a', 3).fill();
    await waitUntil('three to run', () => worker.seen.went.length === 3);
    await openBlockSlots({ redis, prefix }, 'a').fill();
    await waitUntil('all to run', () => worker.seen.went.length === 6);
    ended.resolve('');
  });

  test('reach a job that was on its way to be parked', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const slots = openBlockSlots({ redis, prefix }, 'a', 1);
    const jobId = await intake.queue.enqueue(postOf('a'));
    await redis.hset(`${prefix}:sign:other`, 'name', 'sign');
    await slots.enter('other', 1);
    assert.equal(await slots.enter(jobId, 2), false);
    await slots.leave('other'); // its slot goes to a job that BullMQ has not delayed yet
    await redis.zadd(`${prefix}:sign:delayed`, Date.now() * 2 ** 12 * 2, jobId);
    await slots.parked(jobId);
    assert.equal(await redis.zscore(`${prefix}:sign:delayed`, jobId), '0');
  });
});
