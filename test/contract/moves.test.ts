import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { newCheckpoint, newOrderState } from '../../shared/order/next-step.ts';
import { openBlockSlots } from '../../shared/queue/block-slots.ts';
import { type HeldJob, type JobSignals, type Later, openWorker } from '../../shared/queue/bullmq.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import {
  isSignJobData,
  openSignRecords,
  SIGN_QUEUE,
  type SignJobData,
} from '../../shared/queue/sign-records.ts';
import { openTurns } from '../../shared/queue/turns.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';
import { openReadyIntakeSide, signJob } from './sign-parts.ts';

const { url: redisUrl, redis, connect, newStore } = await startOwnRedis();

const block = 'mail';
const url = 'https://ca.example/order/1';
const saved = { orders: { account: newCheckpoint({ ...newOrderState(), url }) }, refusals: [] };
const heardKey = (prefix: string, jobId: string) => `${prefix}:heard:${jobId}`;

/** A worker that has one job until it is let go, with what becomes of it then. */
function openHolder(prefix: string) {
  const held = Promise.withResolvers<HeldJob<SignJobData>>();
  const letGo = Promise.withResolvers<'' | Later>();
  const consumer = {
    ...{ concurrency: 1, isData: isSignJobData, patience: 0 },
    async run(job: HeldJob<SignJobData>, _: JobSignals) {
      held.resolve(job);
      return letGo.promise;
    },
  };
  const parts = { redisAddress: { url: redisUrl }, prefix, clock: systemClock, log: quietLog };
  const worker = openWorker(SIGN_QUEUE, consumer, parts);
  return Object.assign(worker, { held: held.promise, letGo: letGo.resolve });
}

const read = (queue: SignQueue, jobId: string, isHeard = false) =>
  queue.standings.read(jobId, block, isHeard);

/** Counts the moves of a job that its listener is told of. */
function countMoves({ standings }: SignQueue, jobId: string) {
  let count = 0;
  const listening = standings.listen(jobId, () => count++);
  return Object.assign(listening, { until: (n: number) => waitUntil(`${n} moves`, () => count === n) });
}

suite('where a job stands', () => {
  test('is how many are taken before it, in the order of turns', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push(await intake.queue.enqueue(signJob()));
    const other = await intake.queue.enqueue({ ...signJob(), block: 'web' });
    const behind = await Promise.all([...ids, other].map(async id => (await read(intake.queue, id))?.behind));
    assert.deepEqual(behind, [0, 2, 3, 1]);
    await redis.lpush(`${prefix}:sign:wait`, 'a job whose worker is gone');
    assert.equal((await read(intake.queue, other))?.behind, 2);
  });

  test('is what its worker has saved of it, and what it waits for, in the words of the installation alone', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const { queue } = intake;
    const jobId = await queue.enqueue(signJob());
    await using worker = openHolder(prefix);
    const { lock, data } = await worker.held;
    const fresh = { isParked: false, isHeld: true, doing: undefined, saved: undefined };
    assert.deepEqual(await read(queue, jobId), fresh);
    const records = openSignRecords({ redis, prefix }, testSeals);
    await records.writeCheckpoint(lock, saved);
    assert.deepEqual(await read(queue, jobId), { ...fresh, saved });
    await records.tellFinalizing(lock, url);
    const finalizing = { for: 'certificate', order: url };
    assert.deepEqual(await read(queue, jobId), { ...fresh, saved, doing: finalizing });
    const why = { for: 'limit', until: 1_900_000_000_000 } as const;
    await openTurns({ redis, prefix }, testSeals).leave(lock, data, why);
    const back = systemClock.now() + 3_600_000;
    worker.letGo({ later: back });
    await waitUntil('the job to be given back', async () => (await read(queue, jobId))?.back !== undefined);
    assert.deepEqual(await read(queue, jobId), { ...fresh, isHeld: false, saved, doing: why, back });
    assert.deepEqual(await queue.standings.namesOf(jobId), data.identifiers);

    const slots = openBlockSlots({ redis, prefix }, block, 1);
    await redis.hset(`${prefix}:sign:another job`, { timestamp: 1 });
    assert.equal(await slots.enter('another job', 0), true);
    assert.equal(await slots.enter(jobId, 1), false);
    assert.equal((await read(queue, jobId))?.isParked, true);

    const job = `${prefix}:sign:${jobId}`;
    const forged = JSON.stringify({ for: 'names' });
    await redis.hset(job, {
      doing: `${'0'.repeat(64)} ${forged}`,
      data: JSON.stringify({ ...data, block: 'web' }),
    });
    await redis.set(`${prefix}:checkpoint:${jobId}`, JSON.stringify(saved));
    const known = await read(queue, jobId);
    assert.deepEqual([known?.doing, known?.saved], [undefined, undefined]);
    assert.equal(await queue.standings.namesOf(jobId), undefined);
    await redis.hset(job, { finishedOn: 1 });
    assert.equal(await read(queue, jobId), undefined);
    await redis.hdel(job, 'finishedOn');
    assert.ok(await read(queue, jobId));
    await redis.del(job);
    assert.equal(await read(queue, jobId), undefined);
  });

  test('is that no worker has it, where its worker was killed', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const jobId = await intake.queue.enqueue(signJob());
    await using worker = openHolder(prefix);
    await worker.held;
    assert.equal((await read(intake.queue, jobId))?.isHeld, true);
    await redis.del(`${prefix}:sign:${jobId}:lock`);
    assert.deepEqual(await read(intake.queue, jobId), {
      ...{ isParked: false, isHeld: false, doing: undefined, saved: undefined },
    });
    worker.letGo('');
  });
});

suite('the moves of a job', () => {
  test('are published once for each look of who listens, at any intake, and the key goes by itself', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    await using other = await openReadyIntakeSide(redisUrl, prefix);
    const jobId = await intake.queue.enqueue(signJob());
    await using worker = openHolder(prefix);
    const { lock, data } = await worker.held;
    const records = openSignRecords({ redis, prefix }, testSeals);
    using moves = countMoves(intake.queue, jobId);
    using elsewhere = countMoves(other.queue, jobId);
    using ofAnother = countMoves(intake.queue, 'another job');
    await read(intake.queue, jobId, true);
    await records.writeCheckpoint(lock, saved);
    await Promise.all([moves.until(1), elsewhere.until(1)]);
    await records.writeCheckpoint(lock, saved);
    await records.tellFinalizing(lock, url);
    assert.equal(await redis.get(heardKey(prefix, jobId)), '0');
    const life = await redis.ttl(heardKey(prefix, jobId));
    assert.ok(life > 0 && life <= 30, `${life}`);
    await read(intake.queue, jobId, true);
    await records.tellFinalizing(lock, url);
    await moves.until(2);
    await read(intake.queue, jobId, true);
    await openTurns({ redis, prefix }, testSeals).leave(lock, data);
    await moves.until(3);
    await ofAnother.until(0);
    worker.letGo('');
  });

  test('are not told by a worker that has lost the job', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const { queue } = intake;
    const jobId = await queue.enqueue(signJob());
    await using worker = openHolder(prefix);
    const { lock, data } = await worker.held;
    await read(queue, jobId, true);
    const late = { ...lock, token: 'another' };
    const records = openSignRecords({ redis, prefix }, testSeals);
    await records.tellFinalizing(late, url);
    await openTurns({ redis, prefix }, testSeals).leave(late, data, { for: 'names' });
    await assert.rejects(records.writeCheckpoint(late, saved), { name: 'LockLostError' });
    assert.equal(await redis.get(heardKey(prefix, jobId)), '1');
    assert.equal((await read(queue, jobId))?.doing, undefined);
    worker.letGo('');
  });

  test('cost nothing where nobody listens: no key, no message, and no command but those that there were', async () => {
    const { prefix } = newStore();
    await using intake = await openReadyIntakeSide(redisUrl, prefix);
    const jobId = await intake.queue.enqueue(signJob());
    await using worker = openHolder(prefix);
    const { lock, data } = await worker.held;
    const own = connect();
    const records = openSignRecords({ redis: own, prefix }, testSeals);
    const turns = openTurns({ redis: own, prefix }, testSeals);
    await records.writeCheckpoint(lock, saved); // the scripts are known from here on
    await turns.leave(lock, data);
    const monitor = await connect().monitor();
    const sent: string[] = [];
    const inScripts: string[] = [];
    monitor.on('monitor', (_time: string, [command = '', ...args]: string[], source: string) => {
      if (args.some(arg => arg.includes(jobId)))
        (source === 'lua' ? inScripts : sent).push(command.toLowerCase());
    });
    await records.writeCheckpoint(lock, saved);
    assert.deepEqual(await records.confirmLock(lock, [records.heardKey(jobId)]), [null]);
    await turns.leave(lock, data);
    await own.echo('the end');
    await waitUntil('the commands to be seen', () => inScripts.includes('hset'));
    monitor.disconnect();
    assert.deepEqual(
      sent.filter(command => command !== 'bzpopmin'),
      ['evalsha', 'mget', 'evalsha'],
    );
    assert.ok(!inScripts.includes('publish'), inScripts.join());
    assert.equal(await redis.exists(heardKey(prefix, jobId)), 0);
    worker.letGo('');
  });
});
