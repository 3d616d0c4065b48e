import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { UnrecoverableError } from '../../shared/queue/bullmq.ts';
import { openSignRecords, type SignResult } from '../../shared/queue/sign-records.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';
import { chain, openReadyIntakeSide, openWorkerSide, sealedResult, signJob } from './sign-parts.ts';

const { url: redisUrl, redis, newStore } = await startOwnRedis();

const intakeSide = (prefix: string) => openReadyIntakeSide(redisUrl, prefix);
const issued: SignResult = { outcome: 'issued', block: 'mail', chain };
const never = new AbortController().signal;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

suite('sign queue', () => {
  test('identical posts over two intakes share one job, and its result reaches all of their waiters', async () => {
    const { prefix } = newStore();
    await using one = await intakeSide(prefix);
    await using two = await intakeSide(prefix);
    const job = signJob();
    const queues = Array.from({ length: 40 }, (_, n) => (n % 2 ? one.queue : two.queue));
    const ids = await Promise.all(
      queues.map((queue, n) => queue.enqueue({ ...job, requestId: `request-${n}` })),
    );
    assert.equal(new Set(ids).size, 1);
    assert.match(ids[0] ?? '', uuid);
    const waiting = queues.map((queue, n) => queue.result(ids[n] ?? '', never));
    await using worker = openWorkerSide(redisUrl, prefix);
    const results = await Promise.all(waiting);
    for (const result of results) assert.deepEqual(result, issued);
    assert.equal(worker.begun.length, 1);
  });

  test('a result that is there reaches even a client that does not want to wait at all', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    await using _ = openWorkerSide(redisUrl, prefix);
    const jobId = await intake.queue.enqueue(signJob());
    assert.deepEqual(await intake.queue.result(jobId, never), issued);
    assert.deepEqual(await intake.queue.result(jobId, AbortSignal.abort()), issued);
  });

  test('a result that is damaged reaches its waiters as a failure that names it, and no waiter for another', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const [damaged, other] = [await intake.queue.enqueue(signJob()), await intake.queue.enqueue(signJob())];
    const waiting = [damaged, other].map(jobId => intake.queue.result(jobId, never));
    const key = `${prefix}:result:${damaged}`;
    await redis.set(key, sealedResult(damaged, '{"outcome":"issued"'));
    await redis.set(`${prefix}:result:${other}`, sealedResult(other, JSON.stringify(issued)));
    for (const jobId of [damaged, other])
      await redis.publish(`${prefix}:results`, `${jobId} ${sealedResult(jobId, 'nonsense')}`);
    const [first, second] = await Promise.all(waiting);
    const detail = `the value of ${key} in Redis is damaged; delete it to go on without it`;
    assert.deepEqual(first, {
      outcome: 'failed',
      block: '',
      error: { code: 'misconfigured', detail, problem: undefined, retryAfter: undefined },
    });
    assert.deepEqual(second, issued);
    await assert.rejects(intake.queue.find(damaged), { code: 'misconfigured', message: detail });
  });

  test('a job that ends while it is looked for is known', async t => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const jobId = await intake.queue.enqueue(signJob());
    await using stack = new AsyncDisposableStack();
    const get = intake.redis.get.bind(intake.redis);
    const endAfter = async (key: string) => {
      const value = await get(key);
      stack.use(openWorkerSide(redisUrl, prefix));
      const isGone = async () => (await redis.exists(`${prefix}:sign:${jobId}`)) === 0;
      await waitUntil('the job to be removed', isGone);
      return value;
    };
    t.mock.method(intake.redis, 'get', endAfter, { times: 1 });
    assert.deepEqual(await intake.queue.find(jobId), { block: issued.block, hasFailed: false });
  });

  test('a job whose worker fails without a word is run again, for the same waiters', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    let failures = 0;
    await using worker = openWorkerSide(redisUrl, prefix, () => {
      if (++failures < 3) throw new Error('READONLY You cannot write against a read only replica');
      return issued;
    });
    const jobId = await intake.queue.enqueue(signJob());
    assert.deepEqual(await intake.queue.result(jobId, never), issued);
    assert.equal(worker.begun.length, 3);
  });

  test('posts that differ have jobs of their own, and a finished job is not joined', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    await using worker = openWorkerSide(redisUrl, prefix);
    const job = signJob();
    const first = await intake.queue.enqueue(job);
    assert.deepEqual(await intake.queue.result(first, never), issued);
    await waitUntil(
      'the job to be removed',
      async () => (await redis.exists(`${prefix}:sign:${first}`)) === 0,
    );
    const others = [job, { ...job, block: 'ext' }, signJob()];
    const ids = [first, ...(await Promise.all(others.map(other => intake.queue.enqueue(other))))];
    assert.equal(new Set(ids).size, 4);
    await Promise.all(ids.map(id => intake.queue.result(id, never)));
    assert.equal(worker.begun.length, 4);
  });

  test('a job carries what was enqueued, and a result stays for later', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const job = signJob();
    const jobId = await intake.queue.enqueue(job);
    assert.equal((await intake.queue.find(jobId))?.block, 'mail');
    await using worker = openWorkerSide(redisUrl, prefix);
    await intake.queue.result(jobId, never);
    assert.deepEqual(worker.begun, [{ jobId, data: job }]);
    await waitUntil(
      'the job to be removed',
      async () => (await redis.exists(`${prefix}:sign:${jobId}`)) === 0,
    );
    await using later = await intakeSide(prefix);
    assert.deepEqual(await later.queue.result(jobId, never), issued);
    assert.equal((await later.queue.find(jobId))?.block, 'mail');
    assert.equal(await later.queue.find('0f8fad5b-d9cb-469f-a165-70867728950e'), undefined);
  });

  test('a failure reaches its waiter as data', async () => {
    const { prefix } = newStore();
    const failed: SignResult = {
      ...{ outcome: 'failed', block: 'mail' },
      error: {
        code: 'rateLimited',
        detail: 'too many',
        retryAfter: 12_345,
        problem: { type: 'x', detail: 'y' },
      },
    };
    await using intake = await intakeSide(prefix);
    await using _worker = openWorkerSide(redisUrl, prefix, () => failed);
    const jobId = await intake.queue.enqueue(signJob());
    assert.deepEqual(await intake.queue.result(jobId, never), failed);
  });

  test('posts are taken before renewals that were there first', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const jobs = [{ ...signJob(), due: Date.now() }, signJob(), { ...signJob(), due: Date.now() }, signJob()];
    const ids: string[] = [];
    for (const job of jobs) ids.push(await intake.queue.enqueue(job));
    await using worker = openWorkerSide(redisUrl, prefix);
    await Promise.all(ids.map(id => intake.queue.result(id, never)));
    const begun = worker.begun.map(({ jobId }) => ids.indexOf(jobId));
    assert.deepEqual(begun, [1, 3, 0, 2]);
  });

  test('a result whose event was lost is found all the same', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const jobId = await intake.queue.enqueue(signJob());
    const waiting = intake.queue.result(jobId, never);
    await redis.set(`${prefix}:result:${jobId}`, sealedResult(jobId, JSON.stringify(issued)));
    assert.deepEqual(await waiting, issued);
  });

  test('a job is made at once where nothing may stand against it, else where that proves to be no limit', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    let asked = 0;
    const against = { keys: [`${prefix}:limit:a`], refuse: async () => void asked++ };
    assert.match(await intake.queue.enqueue(signJob(), undefined, against), uuid);
    assert.equal(asked, 0);
    await redis.set(`${prefix}:limit:a`, '{}');
    assert.match(await intake.queue.enqueue(signJob(), undefined, against), uuid);
    assert.equal(asked, 1);
    assert.equal(await redis.zcard(`${prefix}:sign:prioritized`), 2);
  });

  test('the waiters of a job that Redis has lost are told so', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const jobId = await intake.queue.enqueue(signJob());
    const waiting = intake.queue.result(jobId, never);
    await redis.del(`${prefix}:sign:${jobId}`);
    assert.equal(await waiting, undefined);
  });

  test('the waiters of a job that failed for good are told so, at once where its worker says it', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    await using worker = openWorkerSide(redisUrl, prefix, () => {
      throw new UnrecoverableError('a bug');
    });
    const silent = await intake.queue.enqueue(signJob());
    assert.equal(await intake.queue.result(silent, never), undefined, 'found by looking');
    assert.deepEqual(await intake.queue.find(silent), { block: 'mail', hasFailed: true });

    const pending = newStore().prefix;
    await using other = await intakeSide(pending);
    const told = await other.queue.enqueue(signJob());
    const waiting = other.queue.result(told, never);
    await openSignRecords({ redis, prefix: pending }, testSeals).publishFailure(told);
    assert.equal(await waiting, undefined);
    assert.equal(worker.begun.length, 1);
  });

  test('what else is published to waiters wakes none of them with anything but their result', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const jobId = await intake.queue.enqueue(signJob());
    const waiting = intake.queue.result(jobId, never);
    for (const message of ['', ' ', 'x', `${jobId}x {}`]) await redis.publish(`${prefix}:results`, message);
    await redis.set(`${prefix}:result:${jobId}`, sealedResult(jobId, JSON.stringify(issued)));
    await redis.publish(`${prefix}:results`, `${jobId} ${sealedResult(jobId, '{damaged')}`);
    assert.deepEqual(await waiting, issued);
  });

  test('a waiter whose signal fires is let go, and the job goes on for the others', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const jobId = await intake.queue.enqueue(signJob());
    const gone = new AbortController();
    const [leaves, stays] = [intake.queue.result(jobId, gone.signal), intake.queue.result(jobId, never)];
    gone.abort();
    assert.equal(await leaves, undefined);
    assert.equal(await intake.queue.result(jobId, gone.signal), undefined);
    await using _worker = openWorkerSide(redisUrl, prefix);
    assert.deepEqual(await stays, issued);
    assert.deepEqual(await intake.queue.result(jobId, gone.signal), issued);
  });

  test('two hundred waiters of different jobs are all woken', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    await using worker = openWorkerSide(redisUrl, prefix);
    const one = async () => intake.queue.result(await intake.queue.enqueue(signJob()), never);
    const results = await Promise.all(Array.from({ length: 200 }, one));
    assert.equal(results.filter(result => result?.outcome === 'issued').length, 200);
    assert.equal(worker.begun.length, 200);
  });
});

suite('a promise of the sign queue', () => {
  test('gives the finished certificate to the next identical post, once', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    await using other = await intakeSide(prefix);
    const job = signJob();
    const jobId = await intake.queue.enqueue(job);
    await intake.queue.promise(jobId, job);
    await using worker = openWorkerSide(redisUrl, prefix);
    assert.deepEqual(await intake.queue.result(jobId, never), issued);
    await waitUntil(
      'the job to be removed',
      async () => (await redis.exists(`${prefix}:sign:${jobId}`)) === 0,
    );
    assert.equal(await other.queue.enqueue({ ...job, requestId: 'later' }), jobId);
    const again = await other.queue.enqueue(job);
    assert.notEqual(again, jobId);
    await other.queue.result(again, never);
    assert.equal(worker.begun.length, 2);
  });

  test('is not spent on a post that a limit refuses, nor does that make a job or get a turn', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const [promised, other] = [signJob(), signJob()];
    const jobId = await intake.queue.enqueue(promised);
    await intake.queue.promise(jobId, promised);
    await using _worker = openWorkerSide(redisUrl, prefix);
    await intake.queue.result(jobId, never);
    const turns = await redis.hgetall(`${prefix}:turns:posts`);
    await redis.set(`${prefix}:limit:b`, '{}');
    const limit = new Error('a limit');
    const against = {
      keys: ['a', 'b'].map(name => `${prefix}:limit:${name}`),
      refuse: () => Promise.reject(limit),
    };
    for (const job of [promised, other])
      await assert.rejects(intake.queue.enqueue(job, undefined, against), { cause: limit });
    assert.deepEqual(await redis.hgetall(`${prefix}:turns:posts`), turns);
    assert.equal(await redis.exists(`${prefix}:sign:prioritized`), 0);
    await redis.del(`${prefix}:limit:b`);
    assert.equal(await intake.queue.enqueue(promised, undefined, against), jobId);
  });

  test('leads an identical post to the same job while that is running', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const job = signJob();
    const jobId = await intake.queue.enqueue(job);
    await intake.queue.promise(jobId, job);
    assert.equal(await intake.queue.enqueue(job), jobId);
  });

  test('of a failure is not kept: the next identical post tries again', async () => {
    const { prefix } = newStore();
    await using intake = await intakeSide(prefix);
    const job = signJob();
    const jobId = await intake.queue.enqueue(job);
    await intake.queue.promise(jobId, job);
    const error = { code: 'unavailable', detail: 'away' } as const;
    await using _worker = openWorkerSide(redisUrl, prefix, () => ({
      outcome: 'failed',
      block: 'mail',
      error,
    }));
    await intake.queue.result(jobId, never);
    await waitUntil(
      'the job to be removed',
      async () => (await redis.exists(`${prefix}:sign:${jobId}`)) === 0,
    );
    assert.notEqual(await intake.queue.enqueue(job), jobId);
  });
});
