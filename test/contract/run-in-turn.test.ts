import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toScript } from '../../shared/base/redis.ts';
import { runInTurn } from '../../shared/base/run-in-turn.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();

/** Appends to its first key what else there is, and answers its last value. */
const append = toScript(`
redis.call('RPUSH', KEYS[1], #KEYS, #ARGV, unpack(ARGV))
return tonumber(ARGV[#ARGV])`);

const toRun = (key: string, ...args: (string | number)[]) => ({ script: append, keys: [key], args });

test('scripts run in one command, each with its own keys and values, as long as each answers 1', async t => {
  const { prefix } = newStore();
  const [one, other] = [`${prefix}:one`, `${prefix}:other`];
  await redis.ping(); // it is connected
  const sent = t.mock.method(redis, 'sendCommand');
  const runs = [toRun(one, 'a', 1), { ...toRun(other, 'b', 'c', 1), keys: [other, one] }, toRun(one, 0)];
  assert.equal(await runInTurn(redis, [...runs, toRun(one, 'not any more', 1)]), 2);
  const names = sent.mock.calls.map(({ arguments: [command] }) => command.name);
  assert.deepEqual(names, ['evalsha', 'eval'], 'the text is sent where Redis does not know it');
  assert.deepEqual(await redis.lrange(one, 0, -1), ['1', '2', 'a', '1', '1', '1', '0']);
  assert.deepEqual(await redis.lrange(other, 0, -1), ['2', '3', 'b', 'c', '1']);
  assert.equal(await runInTurn(redis, [toRun(one, 1), toRun(one, 1)]), 2);
});
