import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { runScript, toScript } from '../../shared/base/redis.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';

const script = toScript("return { KEYS[1], ARGV[1], redis.call('INCR', KEYS[1]) }");

test('runScript() sends the text of a script once, and again when Redis has forgotten it', async () => {
  await using server = await startRedis();
  const redis = openRedis({ url: server.url }, 'patient', quietLog);
  try {
    const run = async () => runScript(redis, script, ['key'], ['value']);
    const sent = async () =>
      Number(/cmdstat_eval:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
    for (const count of [1, 2, 3]) assert.deepEqual(await run(), ['key', 'value', count]);
    assert.equal(await sent(), 1);
    await redis.script('FLUSH');
    for (const count of [4, 5]) assert.deepEqual(await run(), ['key', 'value', count]);
    assert.equal(await sent(), 2);
  } finally {
    closeRedis(redis);
  }
});

test('runScript() passes on what else goes wrong, and does not try again', async () => {
  await using server = await startRedis();
  const redis = openRedis({ url: server.url }, 'patient', quietLog);
  try {
    await redis.set('key', 'no number');
    const running = runScript(redis, script, ['key'], ['value']);
    await assert.rejects(running, /not an integer/);
    assert.equal(await redis.get('key'), 'no number');
  } finally {
    closeRedis(redis);
  }
});

for (const patience of ['patient', 'impatient'] as const)
  test(`a connection that is ${patience} sends the commands of turns that follow at once in one write`, async t => {
    await using server = await startRedis();
    const redis = openRedis({ url: server.url }, patience, quietLog);
    try {
      await new Promise(resolve => redis.once('ready', resolve));
      const stream: Socket = redis.stream;
      const one = t.mock.method(stream, '_write');
      const many = t.mock.method(stream as Required<Socket>, '_writev');
      const inTurn = (at: number) => new Promise(ok => setTimeout(() => ok(redis.set(`key${at}`, at)), 1));
      const setting = Array.from({ length: 20 }, (_, at) => inTurn(at));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // by then all of them are due
      const answers = await Promise.all(setting);
      assert.deepEqual(new Set(answers), new Set(['OK']));
      assert.deepEqual([one.mock.callCount(), many.mock.callCount()], [0, 1]);
    } finally {
      closeRedis(redis);
    }
  });
