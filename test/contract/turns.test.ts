import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { type HeldJob, type JobSignals, type Later, openWorker } from '../../shared/queue/bullmq.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { isSignJobData, SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-records.ts';
import { hasNoTurn, openTurns, POSTS } from '../../shared/queue/turns.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';
import { openReadyIntakeSide, signJob } from './sign-parts.ts';

const { url: redisUrl, redis, newStore } = await startOwnRedis();

const postOf = (block: string, n = 1): SignJobData => ({ ...signJob(`${block}${n}`), block });
const renewalOf = (block: string, n = 1): SignJobData => ({ ...postOf(block, n), due: Date.now() });

/** One after the other, as `a1`, `a2`. */
async function enqueue(queue: SignQueue, jobs: SignJobData[]): Promise<void> {
  for (const job of jobs) await queue.enqueue(job);
}

const many = (count: number, toJob: (n: number) => SignJobData) =>
  Array.from({ length: count }, (_, index) => toJob(index + 1));

type Run = (job: HeldJob<SignJobData>) => Promise<'' | Later> | '' | Later;

/** Takes so many jobs, one at a time. @returns which, in the order in which they were taken */
async function take(
  prefix: string,
  count: number,
  run: Run = () => '',
  isDone = (taken: string[]) => taken.length === count,
): Promise<string[]> {
  const taken: string[] = [];
  const consumer = {
    ...{ concurrency: 1, isData: isSignJobData, patience: 0 },
    async run(job: HeldJob<SignJobData>, { stopping }: JobSignals): Promise<string | Later> {
      taken.push(job.data.due === undefined ? job.data.csr : `${job.data.csr}'`);
      // A worker that stops takes no other one.
      if (taken.length === count && !stopping.aborted) await once(stopping, 'abort');
      return run(job);
    },
  };
  await using _ = openWorker(SIGN_QUEUE, consumer, {
    redisAddress: { url: redisUrl },
    prefix,
    clock: systemClock,
    log: quietLog,
  });
  await waitUntil('the jobs to be taken', () => isDone(taken), 30_000);
  return taken;
}

suite('turns', () => {
  test('a block that posts many keeps the post of another one waiting for one of its jobs alone', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const { queue } = intake;
    await enqueue(queue, [...many(50, n => postOf('a', n)), postOf('b')]);
    assert.deepEqual(await take(prefix, 3), ['a1', 'b1', 'a2']);
    // Also once much of the time has passed, in which the other one has saved up nothing.
    await take(prefix, 20);
    await enqueue(
      queue,
      many(3, n => postOf('c', n)),
    );
    assert.deepEqual(await take(prefix, 7), ['a23', 'c1', 'a24', 'c2', 'a25', 'c3', 'a26']);
  });

  test('the jobs of a block go first come first served, over two intakes and beside others', async () => {
    const { prefix } = newStore();
    await using one = await openReadyIntakeSide(redisUrl, prefix);
    await using two = await openReadyIntakeSide(redisUrl, prefix);
    for (const n of [1, 2, 3, 4, 5, 6]) await (n % 2 ? one : two).queue.enqueue(postOf('a', n));
    await enqueue(two.queue, [postOf('b', 1), postOf('b', 2)]);
    assert.deepEqual(await take(prefix, 8), ['a1', 'b1', 'a2', 'b2', 'a3', 'a4', 'a5', 'a6']);
  });

  test('renewals come after all posts, and take turns among themselves', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const renewals = [...many(3, n => renewalOf('a', n)), renewalOf('b')];
    await enqueue(intake.queue, [...renewals, ...many(2, n => postOf('a', n)), postOf('c')]);
    assert.deepEqual(await take(prefix, 7), ['a1', 'c1', 'a2', "a1'", "b1'", "a2'", "a3'"]);
  });

  test('a post that joins a job takes no turn', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const { queue } = intake;
    await enqueue(queue, [postOf('a'), postOf('b'), ...many(5, () => postOf('b')), postOf('b', 2)]);
    await enqueue(queue, [postOf('a', 2), postOf('a', 3)]);
    assert.deepEqual(await take(prefix, 5), ['a1', 'b1', 'b2', 'a2', 'a3']);
  });

  test('the posts of a block that is alone leave the time where it is', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    for (const n of [1, 2, 3]) {
      await enqueue(intake.queue, [postOf('a', n)]);
      await take(prefix, 1);
    }
    assert.deepEqual(await redis.hgetall(`${prefix}:turns:posts`), { 'new/a': `${POSTS.first}` });
  });

  test('turns that Redis has lost cost no job, and those that come next still take turns', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    await enqueue(
      intake.queue,
      many(10, n => postOf('a', n)),
    );
    await take(prefix, 5);
    assert.equal(await redis.del(`${prefix}:turns:posts`), 1);
    await enqueue(
      intake.queue,
      many(3, n => postOf('b', n)),
    );
    const taken = await take(prefix, 8);
    assert.deepEqual(taken, ['a6', 'b1', 'a7', 'b2', 'a8', 'b3', 'a9', 'a10']);
  });

  test('time that has come half the way is set back, and nobody loses a turn', async () => {
    const { prefix } = newStore();
    const turns = `${prefix}:turns:posts`;
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const { queue } = intake;
    const late = POSTS.last - 10;
    await enqueue(queue, [postOf('a')]);
    await redis.hset(turns, { 'new/a': late, 'new/c': late + 1 });
    await enqueue(queue, [...many(3, n => postOf('a', n + 1)), postOf('c')]);
    assert.deepEqual(await take(prefix, 1), ['a1']);
    await enqueue(queue, [postOf('b'), ...many(2, n => postOf('a', n + 4))]);
    const scores = await redis.zrange(`${prefix}:sign:prioritized`, 0, '-1', 'WITHSCORES');
    assert.ok(
      scores.every((one, at) => at % 2 === 0 || Number(one) < 100 * 2 ** 32),
      scores.join(' '),
    );
    for (const id of scores.filter((_, at) => at % 2 === 0))
      assert.ok(Number(await redis.hget(`${prefix}:sign:${id}`, 'priority')) < 100);
    assert.deepEqual(await take(prefix, 7), ['a2', 'b1', 'a3', 'c1', 'a4', 'a5', 'a6']);
  });

  test('at the end of time jobs go in the order in which they came, and an empty queue begins anew', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const { queue } = intake;
    await enqueue(queue, [postOf('a')]);
    await redis.hset(`${prefix}:turns:posts`, { 'new/a': POSTS.last, 'new/b': POSTS.last });
    await enqueue(queue, [postOf('a', 2), postOf('b', 1), postOf('a', 3), postOf('b', 2)]);
    assert.deepEqual(await take(prefix, 5), ['a1', 'a2', 'b1', 'a3', 'b2']);
    await enqueue(queue, [...many(3, n => postOf('a', n)), postOf('b')]);
    assert.deepEqual(await take(prefix, 4), ['a1', 'b1', 'a2', 'a3']);
  });
});

suite('a job that comes back from a wait', () => {
  /** As a worker does: `waits` says whether a job has to wait for something. */
  function openRun(prefix: string, waits: (job: SignJobData) => boolean, went: string[]): Run {
    const turns = openTurns({ redis, prefix }, testSeals);
    return async ({ lock, data, isNew, priority }) => {
      if (!isNew && hasNoTurn(priority) && !(await turns.resume(lock, data))) return { later: 0 };
      went.push(data.csr);
      if (!waits(data)) return '';
      await turns.leave(lock, data);
      return { later: Date.now() };
    };
  }

  test('goes on at once where nobody else waits', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    await enqueue(intake.queue, [postOf('a')]);
    const went: string[] = [];
    const taken = await take(
      prefix,
      3,
      openRun(prefix, () => went.length < 3, went),
    );
    assert.deepEqual([taken, went], [['a1', 'a1', 'a1'], taken]);
  });

  test('takes turns with those of other blocks, and with the new ones of its own', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    // Five orders that are polled, and three that were not begun.
    await enqueue(
      intake.queue,
      many(5, n => postOf('a', n)),
    );
    const went: string[] = [];
    await take(
      prefix,
      5,
      openRun(prefix, () => true, went),
    );
    await enqueue(intake.queue, [...many(3, n => postOf('a', n + 5)), ...many(3, n => postOf('b', n))]);
    went.length = 0;
    // The five are given their turns first.
    await take(
      prefix,
      Number.POSITIVE_INFINITY,
      openRun(prefix, () => false, went),
      () => went.length === 11,
    );
    const firstB = went.indexOf('b1');
    assert.ok(firstB <= 2, went.join(' ')); // behind one that comes back, and one that is new
    assert.ok(went.indexOf('b2') <= firstB + 3 && went.indexOf('b3') <= firstB + 6, went.join(' '));
    assert.deepEqual(
      went.filter(one => /^a[6-8]/.test(one)),
      ['a6', 'a7', 'a8'],
    );
    assert.deepEqual(went.toSorted(), ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8', 'b1', 'b2', 'b3']);
  });

  test('of a renewal comes after posts still', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    await enqueue(intake.queue, [renewalOf('a')]);
    const went: string[] = [];
    await take(
      prefix,
      1,
      openRun(prefix, () => true, went),
    );
    await enqueue(
      intake.queue,
      many(3, n => postOf('b', n)),
    );
    await take(
      prefix,
      4,
      openRun(prefix, () => false, went),
    );
    assert.deepEqual(went, ['a1', 'b1', 'b2', 'b3', 'a1']);
  });

  test('whose lock another worker has by now gets no turn from this one', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const jobId = await intake.queue.enqueue(postOf('a'));
    const before = await redis.hget(`${prefix}:sign:${jobId}`, 'priority');
    await openTurns({ redis, prefix }, testSeals).leave({ jobId, token: 'another' }, postOf('a'));
    assert.equal(await redis.hget(`${prefix}:sign:${jobId}`, 'priority'), before);
  });
});
