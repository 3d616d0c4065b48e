import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { openAccountStates } from '../../shared/ca/account-holder.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';

const server = await startRedis();
const redis = openRedis(server.url, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

const states = openAccountStates({ redis, prefix: '{quarry}' });

test('how an account is can be read by any process, with the time at which that began', async () => {
  assert.equal(await states.read('never'), undefined);
  const before = Date.now();
  await states.write('default', { url: 'https://ca.example/account/1' });
  const after = Date.now();
  const { since = 0, ...state } = (await states.read('default')) ?? {};
  assert.deepEqual(state, { url: 'https://ca.example/account/1' });
  assert.ok(since >= before && since <= after, `${since}`); // Redis runs on this machine
  assert.equal(await states.read('other'), undefined);
});

test('a state that is found again keeps its time, and another one begins anew', async () => {
  const fault = { fault: 'the CA wants: 100% "agreed"\nterms' };
  await states.write('busy', fault);
  const longAgo = ((await redis.hget('{quarry}:accounts', 'busy')) ?? '').replace(/^\d+/, '1000');
  await redis.hset('{quarry}:accounts', 'busy', longAgo);
  await states.write('busy', fault);
  assert.deepEqual(await states.read('busy'), { ...fault, since: 1000 });
  await states.write('busy', { url: 'https://ca.example/account/2' });
  const { since = 0, ...state } = (await states.read('busy')) ?? {};
  assert.deepEqual(state, { url: 'https://ca.example/account/2' });
  assert.ok(since > 1000);
});
