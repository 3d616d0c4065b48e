import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { Worker } from 'bullmq';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import {
  openRevokeQueue,
  REVOKE_QUEUE,
  type RevokeJobData,
  type RevokeResult,
} from '../../shared/queue/revoke-queue.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
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
  const redis = openRedis(server.url, 'impatient', quietLog);
  const queue = openRevokeQueue({ store: { redis, prefix }, clock: systemClock, log: quietLog });
  const connection = openRedis(server.url, 'patient', quietLog);
  const worker = new Worker<RevokeJobData, RevokeResult>(
    REVOKE_QUEUE,
    job => work(job.data, job.attemptsMade),
    {
      ...{ connection, prefix },
    },
  );
  worker.on('error', () => {});
  await waitUntil('the queue to reach Redis', () => redis.status === 'ready');
  return {
    queue,
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
