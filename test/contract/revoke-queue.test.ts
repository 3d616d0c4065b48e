import assert from 'node:assert/strict';
import { hash, randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { Worker } from 'bullmq';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { isSealedData } from '../../shared/queue/bullmq.ts';
import {
  openRevokeQueue,
  REVOKE_QUEUE,
  type RevokeJobData,
  type RevokeResult,
  sealRevokeResult,
} from '../../shared/queue/revoke-queue.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';

const server = await startRedis();
after(() => server[Symbol.asyncDispose]());
const never = new AbortController().signal;
const revoked: RevokeResult = { outcome: 'revoked', already: false, account: 'default' };

const toData = (certificate: string = randomUUID()): RevokeJobData => ({
  certificate,
  names: ['a.example'],
  block: 'mail',
  accounts: ['default'],
  requestId: randomUUID(),
  reason: 'superseded',
});

let prefixes = 0;

/** Both sides of a queue of its own; a job ends with what `work` gives. */
async function openSides(work: (data: RevokeJobData, attempt: number) => Promise<RevokeResult>) {
  const prefix = `{revoke-${++prefixes}}`;
  const redis = openRedis({ url: server.url }, 'impatient', quietLog);
  const queue = openRevokeQueue({
    store: { redis, prefix },
    seals: testSeals,
    clock: systemClock,
    log: quietLog,
  });
  const connection = openRedis({ url: server.url }, 'patient', quietLog);
  const worker = new Worker<RevokeJobData, string>(
    REVOKE_QUEUE,
    async ({ id = '', data: sealed, attemptsMade }) => {
      assert.ok(isSealedData(testSeals, REVOKE_QUEUE, id, sealed));
      const { seal: _, ...data } = sealed as RevokeJobData & { seal: string };
      return sealRevokeResult(testSeals, id, await work(data, attemptsMade));
    },
    {
      ...{ connection, prefix },
    },
  );
  worker.on('error', () => {});
  await waitUntil('the queue to reach Redis', () => redis.status === 'ready');
  return {
    ...{ queue, redis, prefix },
    async [Symbol.asyncDispose]() {
      await worker.close(true);
      await queue[Symbol.asyncDispose]();
      for (const one of [redis, connection]) closeRedis(one);
    },
  };
}

test('a revoke job reaches a worker as it was made, and its result the one who waits', async () => {
  const begun: RevokeJobData[] = [];
  await using sides = await openSides(async data => {
    begun.push(data);
    return revoked;
  });
  const data = toData();
  const id = await sides.queue.enqueue(data);
  assert.deepEqual(await sides.queue.result(id, never), revoked);
  assert.deepEqual(begun, [data]);
  assert.deepEqual(await sides.queue.result(id, AbortSignal.abort()), revoked, 'also for who comes later');
});

test('posts of the same certificate share a job while it runs', async () => {
  const gate = Promise.withResolvers<RevokeResult>();
  await using sides = await openSides(() => gate.promise);
  const [first, second] = [
    await sides.queue.enqueue(toData('same')),
    await sides.queue.enqueue(toData('same')),
  ];
  assert.equal(second, first);
  assert.notEqual(await sides.queue.enqueue(toData('another')), first);
  gate.resolve(revoked);
  assert.deepEqual(await sides.queue.result(first, never), revoked);
  assert.notEqual(await sides.queue.enqueue(toData('same')), first);
});

test('a failure is tried again, and one that is told as a result is not', async () => {
  const failed: RevokeResult = { outcome: 'failed', error: { code: 'denied', detail: 'no' } };
  await using sides = await openSides(async (_, attempt) => {
    if (attempt === 0) throw new Error('the CA is away');
    return failed;
  });
  assert.deepEqual(await sides.queue.result(await sides.queue.enqueue(toData()), never), failed);
});

test('who does not want to wait any longer gets nothing, and the job goes on', async () => {
  const gate = Promise.withResolvers<RevokeResult>();
  await using sides = await openSides(() => gate.promise);
  const id = await sides.queue.enqueue(toData());
  const patience = new AbortController();
  const waiting = sides.queue.result(id, patience.signal);
  patience.abort();
  assert.equal(await waiting, undefined);
  gate.resolve(revoked);
  assert.deepEqual(await sides.queue.result(id, never), revoked);
});

test('a job that Redis has lost is told as such', async () => {
  await using sides = await openSides(async () => revoked);
  await assert.rejects(sides.queue.result('none', never), {
    code: 'unavailable',
    message: /^the revocation was lost/,
  });
});

test('the result of a revocation that was written by hand is told to nobody', async () => {
  await using sides = await openSides(async () => revoked);
  const { queue, redis, prefix } = sides;
  const [id, other] = [await queue.enqueue(toData()), await queue.enqueue(toData())];
  assert.deepEqual(await queue.result(other, never), revoked);
  assert.deepEqual(await queue.result(id, never), revoked);
  const own = `${await redis.hget(`${prefix}:revoke:${id}`, 'returnvalue')}`;
  const others = `${await redis.hget(`${prefix}:revoke:${other}`, 'returnvalue')}`;
  for (const forged of [JSON.stringify(revoked), JSON.stringify(JSON.stringify(revoked)), others]) {
    await redis.hset(`${prefix}:revoke:${id}`, 'returnvalue', forged);
    await assert.rejects(queue.result(id, never), { code: 'unavailable', message: /bears no seal/ });
  }
  const [[, [, event]] = ['', ['', '']]] = await redis.xrange(`${prefix}:trail`, '-', '+');
  assert.match(`${event}`, new RegExp(`"event":"refused","job":"${id}".*bears no seal`));
  await redis.hset(`${prefix}:revoke:${id}`, 'returnvalue', own);
  assert.deepEqual(await queue.result(id, never), revoked);
});

test('a post is not led to the revocation of another certificate', async () => {
  const gate = Promise.withResolvers<RevokeResult>();
  await using sides = await openSides(() => gate.promise);
  const { queue, redis, prefix } = sides;
  const other = await queue.enqueue(toData('other'));
  await redis.set(`${prefix}:revoke:de:${hash('sha256', 'own')}`, other);
  const own = await queue.enqueue(toData('own'));
  assert.notEqual(own, other);
  gate.resolve(revoked);
  assert.deepEqual(await queue.result(own, never), revoked);
});
