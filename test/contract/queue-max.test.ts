import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openBlockSlots } from '../../shared/queue/block-slots.ts';
import { withQueueMax } from '../../shared/queue/queue-max.ts';
import type { SignJobData } from '../../shared/queue/sign-records.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';
import { openReadyIntakeSide, openWorkerSide, signJob } from './sign-parts.ts';

const { url: redisUrl, redis, newStore } = await startOwnRedis();
const clock = turnedClock(1_000_000);
const never = new AbortController().signal;

const postOf = (block: string, n: number): SignJobData => ({ ...signJob(`${block}${n}`), block });

/** An intake that lets block `a` have three jobs under way. */
async function openIntake() {
  const { prefix } = newStore();
  const intake = await openReadyIntakeSide(redisUrl, prefix);
  const queue = withQueueMax(intake.queue, { redis: intake.redis, prefix }, new Map([['a', 3]]), clock);
  return { prefix, queue, [Symbol.asyncDispose]: () => intake[Symbol.asyncDispose]() };
}

const refused = { code: 'rateLimited', message: 'too many orders are under way already: post again later' };

suite('queue-max', () => {
  test('refuses the post that would make one job too many, and no other one', async () => {
    await using intake = await openIntake();
    const { queue, prefix } = intake;
    const ids: string[] = [];
    for (const n of [1, 2, 3]) ids.push(await queue.enqueue(postOf('a', n)));
    await assert.rejects(queue.enqueue(postOf('a', 4)), refused);
    assert.equal(await queue.enqueue(postOf('a', 2)), ids[1]); // joins
    await queue.enqueue({ ...postOf('a', 5), due: 1 }); // a renewal
    for (const n of [1, 2, 3, 4]) await queue.enqueue(postOf('b', n));
    assert.equal(await redis.zcard(`${prefix}:queued:a`), 3);
  });

  test('says when to come again, by how long orders take now', async () => {
    await using intake = await openIntake();
    const { queue, prefix } = intake;
    for (const n of [1, 2, 3]) await queue.enqueue(postOf('a', n));
    const [seconds] = await redis.time();
    const [eldest = ''] = await redis.zrange(`${prefix}:queued:a`, 0, '0');
    const retryAfter = async (ageSeconds: number) => {
      await redis.zadd(`${prefix}:queued:a`, (Number(seconds) - ageSeconds) * 1_000, eldest);
      const error = await queue.enqueue(postOf('a', 4)).catch(failure => failure);
      return error.retryAfter - clock.now();
    };
    assert.equal(await retryAfter(0), 5_000);
    const aMinute = await retryAfter(600);
    assert.ok(aMinute >= 60_000 && aMinute < 70_000, `${aMinute}`);
    assert.equal(await retryAfter(100_000), 300_000);
  });

  test('takes the next post once a job has ended', async () => {
    await using intake = await openIntake();
    const { queue, prefix } = intake;
    const ids: string[] = [];
    for (const n of [1, 2, 3]) ids.push(await queue.enqueue(postOf('a', n)));
    await openBlockSlots({ redis, prefix }, 'a').end(ids[1] ?? '');
    await queue.enqueue(postOf('a', 4));
    await assert.rejects(queue.enqueue(postOf('a', 5)), refused);
  });

  test('hands out a promised result to one that is over it', async () => {
    await using intake = await openIntake();
    const { queue, prefix } = intake;
    const first = await queue.enqueue(postOf('a', 1));
    await queue.promise(first, postOf('a', 1));
    {
      await using _ = openWorkerSide(redisUrl, prefix);
      assert.equal((await queue.result(first, never))?.outcome, 'issued');
    }
    for (const n of [2, 3]) await queue.enqueue(postOf('a', n));
    await assert.rejects(queue.enqueue(postOf('a', 4)), refused);
    assert.equal(await queue.enqueue(postOf('a', 1)), first);
  });

  test('finds jobs that ended without a word, but none that may not be made yet', async () => {
    await using intake = await openIntake();
    const { queue, prefix } = intake;
    const queued = `${prefix}:queued:a`;
    const [seconds] = await redis.time();
    const ago = (count: number) => (Number(seconds) - count) * 1_000;
    await redis.zadd(queued, ago(60), 'lost', ago(1), 'young', ago(60), 'failed');
    await redis.hset(`${prefix}:sign:failed`, 'finishedOn', 1);
    await queue.enqueue(postOf('a', 1));
    assert.ok((await redis.zrange(queued, 0, '-1')).includes('young'));
    assert.equal(await redis.zcard(queued), 2);
  });

  test('costs a block that was refused no turn', async () => {
    await using intake = await openIntake();
    const { queue, prefix } = intake;
    for (const n of [1, 2, 3]) await queue.enqueue(postOf('a', n));
    const before = await redis.hgetall(`${prefix}:turns:posts`);
    for (const n of [4, 5, 6, 7]) await assert.rejects(queue.enqueue(postOf('a', n)), refused);
    const { 'new/a': after } = await redis.hgetall(`${prefix}:turns:posts`);
    assert.equal(after, before['new/a']);
  });
});
