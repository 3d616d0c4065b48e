import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Redis } from 'ioredis';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { isText, shapeOf } from '../../shared/base/redis.ts';
import { openQueue, openWorker } from '../../shared/queue/bullmq.ts';
import { LEFT, sayWhatIsLeft, takingScripts } from '../../shared/queue/take-job.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';

// What a worker asks Redis to get its jobs, with a real Redis.

type Data = { question: string };

const server = await startRedis();
const redis = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

let grounds = 0;
const taken = "{{ 'data', '{}' }, 'job', 0, 0}";

/** A script of that name which answers so, with keys of its own. */
function openScript(name: string, answer: string) {
  const marker = takingScripts[name] ?? 0;
  const own = openRedis({ url: server.url }, 'patient', quietLog);
  sayWhatIsLeft(own).defineCommand(`${name}:1`, { numberOfKeys: marker, lua: `return ${answer}` });
  const key = (at: number) => `{script-${grounds}}:${at}`;
  grounds++;
  const keys = Array.from({ length: marker }, (_, at) => key(at + 1));
  const run = (own as unknown as Record<string, (...keys: string[]) => Promise<unknown[]>>)[`${name}:1`];
  return {
    ...{ wait: key(1), prioritized: key(3), delayed: key(7), marker: key(marker) },
    run: () => run?.call(own, ...keys) ?? assert.fail('no script'),
    [Symbol.dispose]: () => closeRedis(own),
  };
}

for (const name of Object.keys(takingScripts)) {
  test(`${name} says that it has left nothing, and takes the marker away that would tell of more`, async () => {
    using script = openScript(name, taken);
    await redis.zadd(script.marker, 0, '0', 5, '1');
    assert.equal((await script.run())[LEFT], 0);
    assert.deepEqual(await redis.zrange(script.marker, 0, '-1'), ['1'], 'that of the delayed jobs stays');
    const due = 1_700_000_000_123;
    await redis.zadd(script.delayed, due * 0x1000 + 7, 'next', (due + 1) * 0x1000, 'later');
    assert.equal((await script.run())[LEFT], due);
    const [told, at] = await redis.zrange(script.marker, 0, '-1', 'WITHSCORES');
    assert.deepEqual(
      [told, Math.floor(Number(at))],
      ['1', due],
      'whoever has room waits for the delayed one',
    );
  });

  test(`${name} leaves the marker where a job waits, and where it has taken none`, async () => {
    for (const others of ['wait', 'prioritized'] as const) {
      using script = openScript(name, taken);
      await redis.zadd(script.marker, '0', '0');
      if (others === 'wait') await redis.lpush(script.wait, 'another');
      else await redis.zadd(script.prioritized, 1, 'another');
      assert.deepEqual(await script.run(), [['data', '{}'], 'job', 0, 0]);
      assert.deepEqual(await redis.zrange(script.marker, 0, '-1'), ['0']);
    }
    for (const [none, answered] of [['{0, 0, 0, 12}', [0, 0, 0, 12]] as const, ['-6', -6] as const]) {
      using script = openScript(name, none);
      await redis.zadd(script.marker, '0', '0');
      assert.deepEqual(await script.run(), answered);
      assert.deepEqual(await redis.zrange(script.marker, 0, '-1'), ['0']);
    }
  });
}

test("BullMQ's scripts have their keys where the jobs and the marker are looked for", async () => {
  const own = openRedis({ url: server.url }, 'patient', quietLog);
  const defined = new Map<string, { lua: string; numberOfKeys?: number }>();
  own.defineCommand = (name, script) => void defined.set(name.replace(/:.*/, ''), script);
  const store = { redis: own, prefix: '{places}' };
  await using queue = asDisposable(openQueue('questions', { store, clock: systemClock, log: quietLog }));
  await queue.waitUntilReady();
  closeRedis(own);
  for (const [name, marker] of Object.entries(takingScripts)) {
    const { numberOfKeys, lua } = defined.get(name) ?? assert.fail(`BullMQ has no ${name}`);
    assert.equal(numberOfKeys, marker, `the keys of ${name}`);
    for (const [at, key] of Object.entries({ 1: 'wait', 3: 'prioritized', 7: 'delayed', [marker]: 'marker' }))
      assert.ok(lua.includes(`KEYS[${at}] ${key} key\n`), `key ${at} of ${name} is no longer ${key}`);
  }
});

/** By how many keys they have, and what is the first of them. */
const scripts: Record<string, string> = {
  ...{ '9 marker': 'add', '11 wait': 'take', '14 wait': 'end', '11 marker': 'give back' },
};

/** What clients ask for the jobs of a queue; to be called while nobody asks anything. */
async function watchQueue(prefix: string) {
  const plain = new Redis(server.url);
  await plain.ping(); // what comes while a monitor connects confuses ioredis
  const monitor = await plain.monitor();
  const sent: string[] = [];
  monitor.on('monitor', (_time: string, command: string[], source: string) => {
    const [name = '', , count = '', first = ''] = command;
    if (source === 'lua' || !command.some(word => word.startsWith(`${prefix}:questions:`))) return;
    const what = name === 'bzpopmin' ? 'wait' : scripts[`${count} ${first.replace(/.*:/, '')}`];
    if (what) sent.push(what);
  });
  return {
    sent,
    [Symbol.dispose]() {
      monitor.disconnect();
      plain.disconnect();
    },
  };
}

for (const concurrency of [1, 2])
  test(`a job that comes alone costs one wait, one look and its end, ${concurrency} at once`, async () => {
    const prefix = `{alone-${concurrency}}`;
    const parts = { prefix, clock: systemClock, log: quietLog };
    await using queue = asDisposable(openQueue<Data>('questions', { ...parts, store: { redis, prefix } }));
    using watch = await watchQueue(prefix);
    const run = async () => 'because';
    await using _ = openWorker<Data, string>(
      'questions',
      { concurrency, isData: shapeOf<Data>({ question: isText }), patience: 0, run },
      { ...parts, redisAddress: { url: server.url } },
    );
    const add = () => queue.add('ask', { question: 'why' }, { priority: 1, removeOnComplete: true });
    await add(); // the scripts are known by the next one
    const isOver = () => watch.sent.includes('end');
    const waits = () => watch.sent.lastIndexOf('wait') > watch.sent.lastIndexOf('take');
    await waitUntil('the worker to wait again', () => isOver() && waits());
    for (let jobs = 0; jobs < 3; jobs++) {
      const from = watch.sent.length;
      await add();
      const sent = () => watch.sent.slice(from);
      await waitUntil('the next wait', () => sent().length >= 4 && sent().includes('end'));
      const [first, ...others] = sent();
      assert.deepEqual([first, others[0]], ['add', 'take'], watch.sent.join());
      assert.deepEqual(others.slice(1).sort(), ['end', 'wait'], watch.sent.join());
    }
  });

test('who gives its job back looks again, and learns when that is due', async () => {
  const prefix = '{given-back}';
  const parts = { prefix, clock: systemClock, log: quietLog };
  await using queue = asDisposable(openQueue<Data>('questions', { ...parts, store: { redis, prefix } }));
  using watch = await watchQueue(prefix);
  let runs = 0;
  const run = async () => (++runs === 1 ? { later: systemClock.now() + 50 } : 'because');
  await using _ = openWorker<Data, string>(
    'questions',
    { concurrency: 1, isData: shapeOf<Data>({ question: isText }), patience: 0, run },
    { ...parts, redisAddress: { url: server.url } },
  );
  await queue.add('ask', { question: 'why' }, { priority: 1 });
  await waitUntil('the job to end', () => watch.sent.includes('end'));
  assert.equal(watch.sent[watch.sent.indexOf('give back') + 1], 'take', watch.sent.join());
});

const asDisposable = <Q extends { close(): Promise<void> }>(queue: Q): Q & AsyncDisposable =>
  Object.assign(queue, { [Symbol.asyncDispose]: () => queue.close() });

test('of jobs that come together none waits for a worker that has room', async () => {
  const prefix = '{together}';
  const parts = { prefix, clock: systemClock, log: quietLog };
  await using queue = asDisposable(openQueue<Data>('questions', { ...parts, store: { redis, prefix } }));
  const all = Promise.withResolvers<string>();
  let running = 0;
  const run = async () => {
    if (++running === 7) all.resolve('because');
    return all.promise;
  };
  const consumer = { concurrency: 4, isData: shapeOf<Data>({ question: isText }), patience: 0, run };
  const open = () => openWorker<Data, string>('questions', consumer, { ...parts, redisAddress: server });
  await using _one = open();
  await using _other = open();
  const jobs = Array.from({ length: 7 }, () => ({ name: 'ask', data: { question: 'why' } }));
  await queue.addBulk(jobs);
  await all.promise;
  await waitUntil('all to have ended', async () => (await queue.getActiveCount()) === 0);
  assert.equal(running, 7);
});
