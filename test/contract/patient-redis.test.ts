import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, beforeEach, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { isNumber, runScript, shapeOf, toScript } from '../../shared/base/redis.ts';
import type { Patience } from '../../shared/base/redis-connection.ts';
import { runAll } from '../../shared/base/refusals.ts';
import { openQueue, openWorker } from '../../shared/queue/bullmq.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { type SentCommand, startRedisProxy } from '../support/redis-proxy.ts';
import { waitUntil } from '../support/wait-until.ts';

// What connections do while Redis answers with errors that pass, and where it does not answer at all.

const server = await startRedis();
const proxy = await startRedisProxy(server.port);
const control = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(control);
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  proxy.refuse = () => undefined;
  await control.flushall();
});

function connect(patience: Patience) {
  const redis = openRedis({ url: proxy.url }, patience, quietLog);
  return { redis, [Symbol.dispose]: () => closeRedis(redis) };
}

/** Has commands of a kind refused so many times. @returns those that were sent in all */
function refuse(wanted: (command: SentCommand) => boolean, errors: string[]): SentCommand[] {
  const sent: SentCommand[] = [];
  const left = [...errors];
  proxy.refuse = command => {
    if (!wanted(command)) return undefined;
    sent.push(command);
    return left.shift();
  };
  return sent;
}

const isSet = ({ name }: SentCommand) => name === 'set';
const isScript = ({ name, words }: SentCommand) => name.startsWith('eval') && words.includes('script-key');

const passing = [
  "OOM command not allowed when used memory > 'maxmemory'.",
  'MISCONF Errors writing to the AOF file: No space left on device',
  'NOREPLICAS Not enough good replicas to write.',
  "NOPERM this user has no permissions to run the 'set' command",
  'LOADING Redis is loading the dataset in memory',
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  'CLUSTERDOWN The cluster is down',
  'TRYAGAIN Multiple keys request during rehashing of slot',
];
const elsewhere = [
  "READONLY You can't write against a read only replica.",
  'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)',
  'MOVED 3999 127.0.0.1:6381',
];

test('a patient connection outlasts every error that passes, of a command and of a script', async () => {
  const count = toScript(`return redis.call('INCR', KEYS[1])`);
  await Promise.all(
    [...passing, ...elsewhere].map(async error => {
      await using own = await startRedisProxy(server.port);
      const left = new Set(['set', 'script']);
      own.refuse = command => {
        const kind = isSet(command) ? 'set' : isScript(command) ? 'script' : '';
        return left.delete(kind) ? error : undefined;
      };
      const redis = openRedis({ url: own.url }, 'patient', quietLog);
      const key = `key ${error}`;
      assert.equal(await redis.set(key, 'written'), 'OK', error);
      assert.equal(await control.get(key), 'written');
      assert.equal(await runScript(redis, count, [key.replace('key', 'count'), 'script-key'], []), 1, error);
      assert.equal(left.size, 0, 'both were refused once');
      closeRedis(redis);
    }),
  );
});

test('an impatient one fails at once, and is of use for the next command', async () => {
  using one = connect('impatient');
  await waitUntil('the connection', () => one.redis.status === 'ready');
  for (const error of [...passing, ...elsewhere]) {
    const sent = refuse(isSet, [error]);
    await assert.rejects(one.redis.set('key', 'x'), { message: error });
    assert.equal(sent.length, 1);
    await waitUntil('the next one', () => one.redis.set('key', 'x').then(Boolean, () => false));
  }
});

test('a node that was demoted is left for what its address leads to now', async () => {
  for (const patience of ['patient', 'impatient'] as const) {
    using one = connect(patience);
    await waitUntil('the connection', () => one.redis.status === 'ready');
    const before = proxy.made;
    refuse(isSet, [elsewhere[0] ?? '']);
    await one.redis.set('key', 'x').catch(() => {});
    await waitUntil('another connection', () => proxy.made > before && one.redis.status === 'ready');
    assert.equal(await one.redis.set('key', 'x'), 'OK');
  }
});

test('what does not pass fails at once, patient or not', async () => {
  using one = connect('patient');
  const sent = refuse(isSet, ['ERR syntax error']);
  await assert.rejects(one.redis.set('key', 'x'), { message: 'ERR syntax error' });
  assert.equal(sent.length, 1);
});

test('a transaction that was refused is sent again whole by a patient connection', async () => {
  using one = connect('patient');
  await control.config('SET', 'maxmemory', '1');
  const done = runAll(one.redis, commands => commands.incr('a').incr('b'));
  await waitUntil('a refusal', async () => /rejected_calls=[1-9]/.test(await control.info('commandstats')));
  await control.config('SET', 'maxmemory', '0');
  assert.deepEqual(await done, [1, 1]);
});

test('a connection that is closed fails what it has kept', async () => {
  const { redis } = connect('patient');
  const sent = refuse(
    isSet,
    Array.from({ length: 100 }, () => passing[0] ?? ''),
  );
  const failed = assert.rejects(redis.set('key', 'x'), /closed/);
  await waitUntil('a refusal', () => sent.length > 0);
  closeRedis(redis);
  await failed;
});

test('a connection that goes silent is made anew, whatever waits on it, or nothing does', async () => {
  const log: string[] = [];
  const idle = openRedis({ url: proxy.url }, 'patient', quietLog);
  const heard = openRedis({ url: proxy.url }, 'patient', quietLog);
  await Promise.all([idle.ping(), heard.subscribe('channel')]);
  heard.on('message', (_, message) => log.push(message));
  using request = connect('impatient');
  await waitUntil('the connection', () => request.redis.status === 'ready');
  const before = proxy.made;
  proxy.goSilent();
  const waiting = idle.set('key', 'x'); // it is written to nobody
  assert.equal(await waiting, 'OK');
  await waitUntil('three more connections', () => proxy.made === before + 3);
  await waitUntil('the request', () => request.redis.set('key', 'y').then(Boolean, () => false));
  await waitUntil('the message', async () => {
    await control.publish('channel', 'hello');
    return log.length > 0;
  });
  for (const one of [idle, heard]) closeRedis(one);
});

test('a worker takes jobs again once its connections have gone silent', async () => {
  const prefix = '{silent}';
  const store = { redis: control, prefix };
  const queue = openQueue<{ at: number }>('numbers', { store, clock: systemClock, log: quietLog });
  const done: number[] = [];
  const consumer = {
    ...{ concurrency: 2, patience: 0, isData: shapeOf<{ at: number }>({ at: isNumber }) },
    run: async (job: { data: { at: number } }) => void done.push(job.data.at),
  };
  await using _worker = openWorker('numbers', consumer, {
    ...{ redisAddress: { url: proxy.url }, prefix, clock: systemClock, log: quietLog },
  });
  await queue.add('number', { at: 1 });
  await waitUntil('the first', () => done.length === 1);
  proxy.goSilent();
  await queue.add('number', { at: 2 });
  await waitUntil('the second', () => done.length === 2);
  await queue.close();
});

test('commands that are gathered leave with their turn, and those of requests wait for the turns that follow', async () => {
  for (const gathered of [true, false]) {
    const redis = openRedis({ url: server.url }, 'impatient', quietLog, { gathered });
    await once(redis, 'ready');
    const answered = Promise.all([redis.ping(), redis.ping()]);
    const held = [redis.stream.writableCorked];
    for (const turn of [process.nextTick, setImmediate]) {
      await new Promise(resolve => turn(resolve));
      held.push(redis.stream.writableCorked);
    }
    assert.deepEqual(held, gathered ? [1, 0, 0] : [1, 1, 0]);
    await answered;
    closeRedis(redis);
  }
});
