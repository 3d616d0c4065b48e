import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { freePort } from '../support/free-port.ts';
import { startRedis } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';
import { openIntakeSide, openWorkerSide, signJob } from './sign-parts.ts';

const prefix = '{quarry}';
const never = new AbortController().signal;

/** What each call comes to. */
function callAll(queue: SignQueue) {
  const job = signJob();
  const jobId = '0f8fad5b-d9cb-469f-a165-70867728950e';
  const calls = [
    queue.enqueue(job),
    queue.promise(jobId, job),
    queue.find(jobId),
    queue.result(jobId, never),
    queue.standings.read(jobId, job.block, true),
    queue.standings.namesOf(jobId),
  ];
  return Promise.allSettled(calls);
}

/** That every call fails as `unavailable`, with Redis as it is. */
async function assertUnavailable(calling: ReturnType<typeof callAll>): Promise<void> {
  for (const outcome of await calling) {
    assert.ok(outcome.status === 'rejected');
    assert.deepEqual([outcome.reason.name, outcome.reason.code], ['IssuanceError', 'unavailable']);
  }
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

test('the sign queue fails while Redis is down, and works when it is back', async () => {
  await using redis = await startRedis({ appendonly: true });
  await using intake = openIntakeSide(redis.url, prefix);
  await using _worker = openWorkerSide(redis.url, prefix);
  const before = await enqueueSoon(intake.queue);
  assert.equal((await intake.queue.result(before, never))?.outcome, 'issued');
  await redis.kill();
  await assertUnavailable(callAll(intake.queue));
  await assertUnavailable(callAll(intake.queue));
  await redis.restart();
  const after = await enqueueSoon(intake.queue);
  assert.equal((await intake.queue.result(after, never))?.outcome, 'issued');
});

test('who waits while Redis goes away and comes back hears of moves, and gets the result', async () => {
  await using redis = await startRedis({ appendonly: true });
  await using intake = openIntakeSide(redis.url, prefix);
  const jobId = await enqueueSoon(intake.queue);
  const waiting = intake.queue.result(jobId, never);
  await intake.redis.ping(); // by now it has looked for a result that is there already
  const move = Promise.withResolvers<void>();
  using _listening = intake.queue.standings.listen(jobId, move.resolve);
  await redis.restart();
  await waitUntil('the channel to be listened to again', async () => {
    return (await intake.redis.publish(`${prefix}:moves`, jobId)) === 1;
  });
  await move.promise;
  await using _worker = openWorkerSide(redis.url, prefix);
  assert.equal((await waiting)?.outcome, 'issued');
});

test('a sign queue that is opened while Redis is down works later', async () => {
  const port = await freePort();
  await using intake = openIntakeSide(`redis://127.0.0.1:${port}`, prefix);
  await assertUnavailable(callAll(intake.queue));
  await using redis = await startRedis({ port });
  const jobId = await enqueueSoon(intake.queue);
  const waiting = intake.queue.result(jobId, never);
  await using _worker = openWorkerSide(redis.url, prefix);
  assert.equal((await waiting)?.outcome, 'issued');
});

test('the sign queue fails where Redis takes connections and does not answer', async () => {
  const silent = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  try {
    await using intake = openIntakeSide(`redis://127.0.0.1:${port}`, prefix);
    await assertUnavailable(callAll(intake.queue));
  } finally {
    silent.close();
  }
});

test('the sign queue fails in under two seconds where Redis stops answering', async t => {
  await using redis = await startRedis();
  await using intake = openIntakeSide(redis.url, prefix);
  await enqueueSoon(intake.queue);
  process.kill(redis.pid, 'SIGSTOP');
  try {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const calling = callAll(intake.queue);
    let settled = false;
    void calling.then(() => {
      settled = true;
    });
    t.mock.timers.tick(2_000);
    await setImmediate();
    t.mock.timers.reset();
    assert.ok(settled);
    await assertUnavailable(calling);
  } finally {
    process.kill(redis.pid, 'SIGCONT');
  }
  await enqueueSoon(intake.queue);
});

for (const [what, port] of [
  ['was never there', await freePort()],
  ['has gone away', undefined],
] as const)
  test(`a sign queue closes at once where Redis ${what}`, async t => {
    const redis = port === undefined ? await startRedis() : undefined;
    const intake = openIntakeSide(redis?.url ?? `redis://127.0.0.1:${port}`, prefix);
    if (redis) {
      await intake.queue.result(await enqueueSoon(intake.queue), AbortSignal.timeout(100));
      await redis[Symbol.asyncDispose]();
      await waitUntil('the outage to be noticed', () => intake.redis.status === 'reconnecting');
    }
    t.mock.timers.enable({ apis: ['setTimeout'] }); // no time passes, and it waits for none to pass
    await intake[Symbol.asyncDispose]();
  });
