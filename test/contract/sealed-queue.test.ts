import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queue } from 'bullmq';
import { openSeals } from '../../shared/admission/hmac.ts';
import {
  deduplicationId,
  openSignRecords,
  SIGN_QUEUE,
  type SignResult,
} from '../../shared/queue/sign-records.ts';
import { parseEntry } from '../../shared/trail/event.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';
import { chain, openReadyIntakeSide, openWorkerSide, sealedResult, signJob } from './sign-parts.ts';

// Whoever can write to Redis does not know the secret of the installation.

const { url, redis, newStore } = await startOwnRedis();
const never = new AbortController().signal;
const issued: SignResult = { outcome: 'issued', block: 'mail', chain };
const forged = JSON.stringify({ ...issued, chain: 'a chain of a stranger' });

/** The details of the trail's events, of a job where one is given. */
async function told(prefix: string, job?: string): Promise<string[]> {
  const entries = await redis.xrange(`${prefix}:trail`, '-', '+');
  const events = entries.flatMap(([id, fields]) => parseEntry(id, fields)).map(({ event }) => event);
  return events.filter(one => job === undefined || one?.job === job).map(one => `${one?.detail}`);
}

test('a result that was written and published by hand is not handed out, and the true one is', async () => {
  const { prefix } = newStore();
  await using intake = await openReadyIntakeSide(url, prefix);
  const { queue } = intake;
  const [jobId, other] = [await queue.enqueue(signJob()), await queue.enqueue(signJob())];
  let ended = false;
  const waiting = queue.result(jobId, never).finally(() => {
    ended = true;
  });
  const strange = openSeals(Buffer.from('the secret of a stranger to this.'));
  const made = [
    forged,
    `x ${forged}`,
    ` ${forged}`,
    sealedResult(other, forged),
    `${strange.sealOf(`${SIGN_QUEUE} result ${jobId}`, forged)} ${forged}`,
    `${testSeals.sealOf(`${SIGN_QUEUE} checkpoint ${jobId}`, forged)} ${forged}`,
    '',
  ];
  for (const text of made) {
    await redis.set(`${prefix}:result:${jobId}`, text);
    await redis.publish(`${prefix}:results`, `${jobId} ${text}`);
  }
  // Each look after this one hears of all that was published before.
  await waitUntil('what was made up to be told', async () => (await told(prefix, jobId)).length > 0);
  await using late = await openReadyIntakeSide(url, prefix);
  assert.equal(await late.queue.result(jobId, AbortSignal.timeout(1)), undefined);
  assert.equal(ended, false);
  await using _worker = openWorkerSide(url, prefix);
  assert.deepEqual(await waiting, issued);
  const [line, ...more] = await told(prefix, jobId);
  assert.match(`${line}`, /^what Redis gave as the result of a job bears no seal of this installation$/);
  assert.ok(more.length <= 1, 'once for each intake');
});

test('whoever waits for a job that has ended with a result written by hand reads so', async () => {
  const { prefix } = newStore();
  await using intake = await openReadyIntakeSide(url, prefix);
  const { queue } = intake;
  const jobId = await queue.enqueue(signJob());
  const waiting = queue.result(jobId, never);
  await redis.set(`${prefix}:result:${jobId}`, forged);
  await redis.del(`${prefix}:sign:${jobId}`);
  const result = await waiting;
  assert.ok(result?.outcome === 'failed');
  assert.equal(result.error.code, 'unavailable');
  assert.match(result.error.detail, /bears no seal of this installation.*: post the same CSR again$/);
  assert.equal(await queue.find(jobId), undefined);
});

test('a worker that finds a result or a checkpoint without a seal goes on as if there were none', async () => {
  const store = newStore();
  const records = openSignRecords(store, testSeals);
  const isAny = (value: unknown): value is object => typeof value === 'object';
  const nothing = { checkpoint: undefined, resultWritten: undefined };
  const [checkpoint, result] = ['checkpoint', 'result'].map(kind => `${store.prefix}:${kind}:job-1`);
  const others = testSeals.sealOf(`${SIGN_QUEUE} checkpoint job-2`, '{"orders":{}}');
  for (const text of ['{"orders":{}}', `${others} {"orders":{}}`]) {
    await redis.set(`${checkpoint}`, text);
    await redis.set(`${result}`, forged);
    assert.deepEqual(await records.readJob('job-1', isAny), nothing);
  }
  assert.equal(await records.readResult('job-1'), undefined);
});

test('a post is led neither to the job nor to the result of another one', async () => {
  const { prefix } = newStore();
  await using intake = await openReadyIntakeSide(url, prefix);
  const { queue } = intake;
  await using worker = openWorkerSide(url, prefix);
  const [others, own] = [signJob(), signJob()];
  const other = await queue.enqueue(others);
  assert.deepEqual(await queue.result(other, never), issued);

  await redis.set(`${prefix}:promise:${deduplicationId(own)}`, other);
  const first = await queue.enqueue(own);
  assert.notEqual(first, other);
  await queue.result(first, never);

  await redis.set(`${prefix}:sign:de:${deduplicationId(own)}`, other);
  const second = await queue.enqueue(own);
  assert.notEqual(second, other);
  assert.deepEqual(await queue.result(second, never), issued);
  assert.deepEqual(worker.begun.at(-1), { jobId: second, data: own });

  await queue.promise(second, own);
  assert.equal(await queue.enqueue(own), second, 'a promise of its own is kept');
});

test('the block of a job is that of its seal, so that nobody fetches the result of another block', async () => {
  const { prefix } = newStore();
  await using intake = await openReadyIntakeSide(url, prefix);
  const { queue } = intake;
  const jobId = await queue.enqueue(signJob());
  assert.equal((await queue.find(jobId))?.block, 'mail');
  const key = `${prefix}:sign:${jobId}`;
  const data = JSON.parse(`${await redis.hget(key, 'data')}`);
  await redis.hset(key, 'data', JSON.stringify({ ...data, block: 'web' }));
  assert.equal(await queue.find(jobId), undefined);

  await using stack = new AsyncDisposableStack();
  const options = { connection: { url }, prefix };
  const byHand = stack.adopt(new Queue(SIGN_QUEUE, options), one => one.close());
  await byHand.add('sign', data, { jobId: 'another' });
  assert.equal(await queue.find('another'), undefined, 'the seal of another job');
});
