import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import {
  ACME_QUEUE,
  type AcmeJobData,
  type AcmeResult,
  type AddressJobData,
  isAcmeJobData,
  openAcmeQueue,
  type ProofJobData,
  sealAcmeResult,
} from '../../shared/queue/acme-queue.ts';
import { type HeldJob, openWorker } from '../../shared/queue/bullmq.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';

const server = await startRedis();
after(() => server[Symbol.asyncDispose]());
const never = new AbortController().signal;

const toLook = (client = '192.0.2.1'): AddressJobData => ({
  ...{ kind: 'address', block: 'web', identifiers: [{ type: 'dns', value: 'a.example' }], client },
  requestId: randomUUID(),
});
const toProof = (order: string = randomUUID()): ProofJobData => ({
  ...{ kind: 'proof', block: 'web', order, authorization: 0, challenge: 'http-01', thumbprint: 'of the key' },
  requestId: randomUUID(),
});
const found: AcmeResult = { outcome: 'addresses', faults: [''] };

let prefixes = 0;

/** Both sides of a queue of its own; a job ends with what `work` gives. */
async function openSides(work: (job: HeldJob<AcmeJobData>) => Promise<AcmeResult>) {
  const prefix = `{acme-${++prefixes}}`;
  const redis = openRedis({ url: server.url }, 'impatient', quietLog);
  const [parts, seals] = [{ clock: systemClock, log: quietLog }, testSeals];
  const queue = openAcmeQueue({ store: { redis, prefix }, seals, ...parts });
  const consumer = {
    ...{ concurrency: 4, isData: isAcmeJobData, patience: 0 },
    run: async (job: HeldJob<AcmeJobData>) => sealAcmeResult(seals, job.lock.jobId, await work(job)),
  };
  const redisAddress = { url: server.url };
  const worker = openWorker(ACME_QUEUE, consumer, {
    redisAddress,
    prefix,
    seals,
    ...parts,
  });
  await waitUntil('the queue to reach Redis', () => redis.status === 'ready');
  return {
    ...{ queue, redis, prefix },
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
      await queue[Symbol.asyncDispose]();
      closeRedis(redis);
    },
  };
}

test('a job for an ACME client reaches a worker as it was made, and its result the one who waits', async () => {
  const begun: HeldJob<AcmeJobData>[] = [];
  await using sides = await openSides(async job => {
    begun.push(job);
    return found;
  });
  const data = toLook();
  const id = await sides.queue.enqueue(data);
  assert.deepEqual(await sides.queue.result(id, never), found);
  const { seal, ...made } = { seal: '', ...begun[0]?.data };
  assert.deepEqual(made, data);
  assert.ok(begun[0]?.isSealed && seal !== '');
});

test('a client that says again that its response is there joins the job that looks for it', async () => {
  const gate = Promise.withResolvers<AcmeResult>();
  await using sides = await openSides(() => gate.promise);
  const { queue } = sides;
  const first = await queue.enqueue(toProof('same'));
  assert.equal(await queue.enqueue(toProof('same')), first, 'whatever the request is');
  const { requestId } = toProof();
  assert.notEqual(await queue.enqueue({ ...toProof('same'), thumbprint: 'another', requestId }), first);
  assert.notEqual(await queue.enqueue(toProof('another')), first);
  gate.resolve({ outcome: 'written' });
  assert.deepEqual(await queue.result(first, never), { outcome: 'written' });
});

test('a look that has not seen the response comes again, as often as it may', async () => {
  const attempts: boolean[] = [];
  await using sides = await openSides(async ({ lastAttempt }) => {
    attempts.push(lastAttempt);
    if (!lastAttempt) throw new Error('not there yet');
    return { outcome: 'written' };
  });
  const id = await sides.queue.enqueue(toProof(), 2);
  assert.deepEqual(await sides.queue.result(id, never), { outcome: 'written' });
  assert.deepEqual(attempts, [false, true]);
});

test('who waits for a job that no worker can do is told to come again', async () => {
  await using sides = await openSides(() => Promise.reject(new Error('a bug')));
  const { queue } = sides;
  const id = await queue.enqueue(toLook(), 1);
  await assert.rejects(queue.result(id, never), { code: 'unavailable', message: /could not look/ });
  await assert.rejects(queue.result('none', never), { code: 'unavailable' });
});

test('a result that was written by hand is told to nobody', async () => {
  await using sides = await openSides(async () => found);
  const { queue, redis, prefix } = sides;
  const [id, other] = [await queue.enqueue(toLook()), await queue.enqueue(toLook('192.0.2.2'))];
  assert.deepEqual(await queue.result(other, never), found);
  assert.deepEqual(await queue.result(id, never), found);
  const others = `${await redis.hget(`${prefix}:${ACME_QUEUE}:${other}`, 'returnvalue')}`;
  for (const forged of [JSON.stringify(JSON.stringify(found)), others]) {
    await redis.hset(`${prefix}:${ACME_QUEUE}:${id}`, 'returnvalue', forged);
    await assert.rejects(queue.result(id, never), { code: 'unavailable', message: /bears no seal/ });
  }
  const [[, [, event]] = ['', ['', '']]] = await redis.xrange(`${prefix}:trail`, '-', '+');
  assert.match(`${event}`, new RegExp(`"event":"refused","job":"${id}".*bears no seal`));
});

test('a client is not led to the job of another', async () => {
  const gate = Promise.withResolvers<AcmeResult>();
  await using sides = await openSides(() => gate.promise);
  const { queue, redis, prefix } = sides;
  const own = await queue.enqueue(toProof('own'));
  const other = await queue.enqueue(toProof('other'));
  for (const key of await redis.keys(`${prefix}:${ACME_QUEUE}:de:*`)) await redis.set(key, other);
  assert.ok(![other, own].includes(await queue.enqueue(toProof('own'))));
  gate.resolve({ outcome: 'written' });
});
