import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, suite, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { isText, shapeOf } from '../../shared/base/redis.ts';
import { type FailedJob, openQueue, openWorker, UnrecoverableError } from '../../shared/queue/bullmq.ts';
import type { Consumer, HeldJob, JobSignals, Later } from '../../shared/queue/consumer.ts';
import { openRenewLocks } from '../../shared/queue/job-locks.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { shiftedClock } from '../support/shifted-clock.ts';
import { waitUntil } from '../support/wait-until.ts';

// What becomes of a job in the hands of a worker, with a real Redis.

type Data = { question: string };

const LONG = 60_000;
const server = await startRedis();
const redis = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let prefixes = 0;

const isData = shapeOf<Data>({ question: isText });

/** A queue of its own, and the workers that take its jobs. */
function openGround(clock = systemClock) {
  const prefix = `{bullmq-${++prefixes}}`;
  const queue = openQueue<Data, string>('questions', { store: { redis, prefix }, clock, log: quietLog });
  const parts = { redisAddress: { url: server.url }, prefix, clock, log: quietLog };
  return {
    queue,
    prefix,
    add: async (attempts = 1) => (await queue.add('ask', { question: 'why' }, { attempts })).id ?? '',
    /** @returns the job once it is over */
    ended: async (id: string) => {
      await waitUntil('the end', async () => (await queue.getJob(id))?.finishedOn !== undefined, LONG);
      return (await queue.getJob(id)) ?? assert.fail('no job');
    },
    openWorker: (run: Consumer<Data, string>['run'], more: Partial<Consumer<Data, string>> = {}) =>
      openWorker<Data, string>('questions', { concurrency: 1, isData, patience: 0, run, ...more }, parts),
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

/** Says when it has begun, and goes on until the signal fires. */
function hangingRun(until: (signals: JobSignals) => AbortSignal) {
  const begun = Promise.withResolvers<void>();
  const run = async (_: unknown, signals: JobSignals): Promise<string> => {
    const signal = until(signals);
    begun.resolve();
    if (!signal.aborted) await once(signal, 'abort');
    throw signal.reason;
  };
  return { run, begun: begun.promise };
}

test('a job reaches the worker as it was added, and its result the queue', async () => {
  await using ground = openGround();
  const id = await ground.add();
  await using _ = ground.openWorker(async ({ name, data, lock, lastAttempt }) =>
    JSON.stringify([name, data, lock.jobId, lock.token !== '', lastAttempt]),
  );
  const { returnvalue } = await ground.ended(id);
  assert.deepEqual(JSON.parse(returnvalue), ['ask', { question: 'why' }, id, true, true]);
});

test('a job that asks for a later time comes again, which is no attempt', async () => {
  await using ground = openGround();
  const id = await ground.add();
  let runs = 0;
  await using _ = ground.openWorker(async ({ lastAttempt }) => {
    assert.equal(lastAttempt, true);
    return ++runs < 3 ? { later: Date.now() + 1 } : 'because';
  });
  const { returnvalue, attemptsMade } = await ground.ended(id);
  assert.deepEqual([returnvalue, attemptsMade, runs], ['because', 1, 3]);
});

test('each failed attempt is reported, and the last one as such', async () => {
  await using ground = openGround();
  const [failures, attempts]: [FailedJob<Data>[], { isNew: boolean; lastAttempt: boolean }[]] = [[], []];
  const id = await ground.add(2);
  const failed = (error: Error, job: FailedJob<Data>) => {
    assert.equal(error.message, 'no idea');
    failures.push(job);
  };
  const run: Consumer<Data, string>['run'] = async ({ isNew, lastAttempt }) => {
    attempts.push({ isNew, lastAttempt });
    throw new Error('no idea');
  };
  await using _ = ground.openWorker(run, { failed });
  await ground.ended(id);
  await waitUntil('the reports', () => failures.length === 2, LONG);
  const job = { name: 'ask', data: { question: 'why' } };
  const lock = { jobId: id, token: '', takes: 2 };
  assert.deepEqual(failures, [
    { ...job, lock: { ...lock, takes: 1 }, attempts: 1, over: false },
    { ...job, lock, attempts: 2, over: true },
  ]);
  const renewLocks = openRenewLocks({ redis, prefix: ground.prefix }, 'questions');
  assert.deepEqual(await renewLocks([lock]), [], 'what its worker still writes is within the fence');
  assert.deepEqual(attempts, [
    { isNew: true, lastAttempt: false },
    { isNew: false, lastAttempt: true },
  ]);
});

test('a job whose lock was lost is aborted, and is left to the one who has it', async () => {
  await using ground = openGround();
  const { run, begun } = hangingRun(({ abort }) => abort);
  const aborted = Promise.withResolvers<unknown>();
  const failures: unknown[] = [];
  const id = await ground.add();
  const lock = `${ground.prefix}:questions:${id}:lock`;
  {
    await using _ = ground.openWorker(
      (job, signals) =>
        run(job, signals).catch(error => {
          aborted.resolve(error);
          throw error;
        }),
      { failed: error => failures.push(error) },
    );
    await begun;
    await redis.set(lock, "another worker's token");
    assert.match(String(await aborted.promise), /the lock of the job was lost/);
  }
  assert.equal((await ground.queue.getJob(id))?.finishedOn, undefined);
  assert.equal(await redis.get(lock), "another worker's token");
  assert.deepEqual(failures, []);
});

suite('a worker that stops', () => {
  test('gives back a job that ends for it, and does not count the attempt', async () => {
    await using ground = openGround();
    const id = await ground.add();
    {
      const { run, begun } = hangingRun(({ stopping }) => stopping);
      await using _ = ground.openWorker(run, { patience: LONG });
      await begun;
    }
    await using _next = ground.openWorker(async ({ isNew }) => (isNew ? 'as if new' : 'because'));
    const { returnvalue, attemptsMade } = await ground.ended(id);
    assert.deepEqual([returnvalue, attemptsMade], ['because', 1]);
  });

  test('aborts a job that goes on for longer than its patience, and gives it back', async () => {
    await using ground = openGround();
    const id = await ground.add();
    {
      const { run, begun } = hangingRun(({ abort }) => abort);
      await using _ = ground.openWorker(run, { patience: 10 });
      await begun;
    }
    await using _next = ground.openWorker(async () => 'because');
    assert.equal((await ground.ended(id)).returnvalue, 'because');
  });

  test('lets a job end that does so in time', async () => {
    await using ground = openGround();
    const id = await ground.add();
    {
      const begun = Promise.withResolvers<void>();
      const run = async (_: unknown, { stopping, abort }: JobSignals) => {
        begun.resolve();
        if (!stopping.aborted) await once(stopping, 'abort');
        return abort.aborted ? 'too late' : 'in time';
      };
      await using _ = ground.openWorker(run, { patience: LONG });
      await begun.promise;
    }
    assert.equal((await ground.ended(id)).returnvalue, 'in time');
  });

  test('fails a job for good where that says so', async () => {
    await using ground = openGround();
    const id = await ground.add(5);
    {
      const { run, begun } = hangingRun(({ stopping }) => stopping);
      const refuse = (...args: Parameters<typeof run>) =>
        run(...args).catch(() => {
          throw new UnrecoverableError('refused');
        });
      await using _ = ground.openWorker(refuse, { patience: LONG });
      await begun;
    }
    assert.equal((await ground.ended(id)).failedReason, 'refused');
  });
});

for (const [what, data] of [
  ['lacks a field', '{}'],
  ['is of another kind', '[1]'],
  ['is nothing', 'null'],
] as const)
  test(`a job whose data ${what} fails for good, and its key is named and not its content`, async () => {
    await using ground = openGround();
    const id = await ground.add(3);
    await redis.hset(`${ground.prefix}:questions:${id}`, 'data', data);
    const failures: FailedJob<Data>[] = [];
    const run = async () => assert.fail('it was run');
    await using _ = ground.openWorker(run, { failed: (_, job) => void failures.push(job) });
    const job = await ground.ended(id);
    const key = `${ground.prefix}:questions:${id} data`;
    assert.equal(job.failedReason, `the value of ${key} in Redis is damaged; delete it to go on without it`);
    await waitUntil('the failure to be told', () => failures.length === 1);
    assert.deepEqual([failures[0]?.over, failures[0]?.data], [true, undefined]);
  });

for (const ahead of [2 * HOUR, -2 * HOUR])
  test(`a job waits as long as it is to where this machine is ${ahead / HOUR} h ahead of Redis`, async () => {
    const clock = shiftedClock(-ahead);
    await using ground = openGround(clock);
    const [runs, made]: [number[], number[]] = [[], []];
    const run = async (job: HeldJob<Data>): Promise<string | Later> => {
      runs.push(clock.now());
      made.push(job.createdAt);
      return runs.length === 1 ? { later: clock.now() + 1_000 } : 'because';
    };
    const id = await ground.add();
    const added = clock.now();
    await using _ = ground.openWorker(run);
    const delayed = `${ground.prefix}:questions:delayed`;
    await waitUntil('the wait', async () => (await redis.zscore(delayed, id)) !== null);
    const due = Number(await redis.zscore(delayed, id)) / 0x1000;
    assert.ok(Math.abs(due - clock.now()) < MINUTE, `${due}`);
    const { finishedOn = 0 } = await ground.ended(id);
    assert.equal(runs.length, 2);
    assert.ok((runs[1] ?? 0) >= due - 5, 'not before its time');
    for (const time of [finishedOn, ...made]) assert.ok(Math.abs(time - added) < MINUTE, `${time}`);
  });

test('a job whose lock another worker has got is cut off, and one in hand keeps it', async () => {
  await using ground = openGround();
  const [kept, lost] = [await ground.add(), await ground.add()];
  const ends = Promise.withResolvers<void>();
  const cutOff: string[] = [];
  const run = async ({ lock }: HeldJob<Data>, { abort }: JobSignals) => {
    abort.addEventListener('abort', () => cutOff.push(lock.jobId));
    await ends.promise;
    abort.throwIfAborted();
    return 'because';
  };
  await using _ = ground.openWorker(run, { concurrency: 2 });
  const lockOf = (id: string) => `${ground.prefix}:questions:${id}:lock`;
  await waitUntil('both locks', async () => (await redis.exists(lockOf(kept), lockOf(lost))) === 2);
  await redis.set(lockOf(lost), 'another');
  await redis.pexpire(lockOf(kept), 5_000);
  await waitUntil('the lost one to be cut off', () => cutOff.length > 0, LONG);
  assert.deepEqual(cutOff, [lost]);
  assert.ok((await redis.pttl(lockOf(kept))) > 5_000);
  ends.resolve();
  assert.equal((await ground.ended(kept)).returnvalue, 'because');
});

test('a job whose data is no JSON holds up no other, and the log does not quote it', async () => {
  await using ground = openGround();
  const id = await ground.add();
  await redis.hset(`${ground.prefix}:questions:${id}`, 'data', '{"question":"secret');
  const log = keptLog();
  const parts = {
    redisAddress: { url: server.url },
    prefix: ground.prefix,
    clock: systemClock,
    log: log.log,
  };
  const run = async () => 'because';
  await using _ = openWorker<Data, string>('questions', { concurrency: 1, isData, patience: 0, run }, parts);
  assert.equal((await ground.ended(await ground.add())).returnvalue, 'because');
  await waitUntil('the damage to be logged', () => log.text().includes('in Redis is damaged'));
  assert.doesNotMatch(log.text(), /secret/);
  assert.match(log.text(), new RegExp(`the data of a job in ${ground.prefix}:questions in Redis is damaged`));
});
