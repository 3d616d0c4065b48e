import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { freePort } from '../support/free-port.ts';
import { startRedis } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';
import { openIntakeSide, openWorkerSide, signJob } from './sign-parts.ts';

const prefix = '{quarry}';
const never = new AbortController().signal;

/** That every call fails as `unavailable`, and how long it took, in milliseconds. */
async function assertUnavailable(queue: SignQueue): Promise<number> {
  const started = performance.now();
  const job = signJob();
  const jobId = '0f8fad5b-d9cb-469f-a165-70867728950e';
  const calls = [
    queue.enqueue(job),
    queue.promise(jobId, job),
    queue.blockOf(jobId),
    queue.result(jobId, never),
  ];
  for (const outcome of await Promise.allSettled(calls)) {
    assert.ok(outcome.status === 'rejected');
    assert.deepEqual([outcome.reason.name, outcome.reason.code], ['IssuanceError', 'unavailable']);
  }
  return performance.now() - started;
}

/** Enqueues until Redis is there again. */
async function enqueueSoon(queue: SignQueue): Promise<string> {
  let jobId = '';
  await waitUntil('Redis to be back', async () => {
    jobId = await queue.enqueue(signJob());
    return true;
  });
  return jobId;
}

test('the sign queue fails in under two seconds while Redis is down, and works when it is back', async () => {
  await using redis = await startRedis({ appendonly: true });
  await using intake = openIntakeSide(redis.url, prefix);
  await using _worker = openWorkerSide(redis.url, prefix);
  const before = await enqueueSoon(intake.queue);
  assert.equal((await intake.queue.result(before, never))?.outcome, 'issued');
  await redis.kill();
  assert.ok((await assertUnavailable(intake.queue)) < 2_000);
  assert.ok((await assertUnavailable(intake.queue)) < 2_000);
  await redis.restart();
  const after = await enqueueSoon(intake.queue);
  assert.equal((await intake.queue.result(after, never))?.outcome, 'issued');
});

test('who waits while Redis goes away and comes back gets the result', async () => {
  await using redis = await startRedis({ appendonly: true });
  await using intake = openIntakeSide(redis.url, prefix);
  const jobId = await enqueueSoon(intake.queue);
  const waiting = intake.queue.result(jobId, never);
  await intake.redis.ping(); // by now it has looked for a result that is there already
  await redis.restart();
  await using _worker = openWorkerSide(redis.url, prefix);
  assert.equal((await waiting)?.outcome, 'issued');
});

test('a sign queue that is opened while Redis is down works later', async () => {
  const port = await freePort();
  await using intake = openIntakeSide(`redis://127.0.0.1:${port}`, prefix);
  assert.ok((await assertUnavailable(intake.queue)) < 2_000);
  await using redis = await startRedis({ port });
  const jobId = await enqueueSoon(intake.queue);
  const waiting = intake.queue.result(jobId, never);
  await using _worker = openWorkerSide(redis.url, prefix);
  assert.equal((await waiting)?.outcome, 'issued');
});

test('the sign queue fails in under two seconds where Redis takes connections and does not answer', async () => {
  const silent = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  try {
    await using intake = openIntakeSide(`redis://127.0.0.1:${port}`, prefix);
    assert.ok((await assertUnavailable(intake.queue)) < 2_000);
  } finally {
    silent.close();
  }
});

test('the sign queue fails in under two seconds where Redis stops answering', async () => {
  await using redis = await startRedis();
  await using intake = openIntakeSide(redis.url, prefix);
  await enqueueSoon(intake.queue);
  process.kill(redis.pid, 'SIGSTOP');
  try {
    assert.ok((await assertUnavailable(intake.queue)) < 2_000);
  } finally {
    process.kill(redis.pid, 'SIGCONT');
  }
  await enqueueSoon(intake.queue);
});

for (const [what, port] of [
  ['was never there', await freePort()],
  ['has gone away', undefined],
] as const)
  test(`a sign queue closes at once where Redis ${what}`, async () => {
    const redis = port === undefined ? await startRedis() : undefined;
    const intake = openIntakeSide(redis?.url ?? `redis://127.0.0.1:${port}`, prefix);
    if (redis) {
      await intake.queue.result(await enqueueSoon(intake.queue), AbortSignal.timeout(100));
      await redis[Symbol.asyncDispose]();
      await waitUntil('the outage to be noticed', () => intake.redis.status === 'reconnecting');
    }
    const started = performance.now();
    await intake[Symbol.asyncDispose]();
    assert.ok(performance.now() - started < 2_000);
  });
