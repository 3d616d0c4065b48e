import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { challengeKey } from '../../shared/solver/http01.ts';
import { makeCsr } from '../support/csr.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { startQuarry } from '../support/quarry.ts';
import { runQuarry, toldLines } from '../support/run-quarry.ts';
import { waitUntil } from '../support/wait-until.ts';

// Roles whose Redis users may do less than they need: nobody is left waiting for what never comes.

let fleet: Fleet;
before(async () => {
  fleet = await startFleet({ roles: ['intake', 'worker', 'responder', 'scheduler'] });
});
after(() => fleet[Symbol.asyncDispose]());
afterEach(async () => {
  await fleet.redisClient.acl('LOAD'); // as the users were
  await fleet.redisClient.acl('LOG', 'RESET'); // what a test had refused
});

const change = (user: string, ...words: string[]) => fleet.redisClient.acl('SETUSER', user, ...words);

for (const role of ['intake', 'worker', 'responder', 'scheduler'] as const)
  test(`a ${role} whose user may do nothing dangerous, or nothing at all, ends with one line`, async () => {
    const ini = await fleet.ini();
    const lacks = role === 'responder' ? ['-mget'] : ['-@dangerous'];
    await change(`quarry-${role}`, ...lacks);
    const ended = await runQuarry([role, 'main.ini'], ini);
    const told = role === 'responder' ? '+mget' : '+info';
    assert.equal(ended.code, 1);
    assert.deepEqual(toldLines(ended), [
      `quarry: Redis at 127.0.0.1:${fleet.redis.port} does not allow this user ${told}: ` +
        'give it the rights that quarry redis-acl prints',
    ]);
    await change(`quarry-${role}`, 'off');
    const refused = await runQuarry([role, 'main.ini'], ini);
    assert.deepEqual(
      [refused.code, ...toldLines(refused)],
      [
        1,
        `quarry: Redis at 127.0.0.1:${fleet.redis.port} does not let the ${role} in (WRONGPASS): correct user and password (or password-file) in [redis]`,
      ],
    );
  });

test('a responder works with what quarry check --for responder prints', async () => {
  const { stdout } = await runQuarry(['check', '--for', 'responder', 'main.ini'], await fleet.ini());
  await using responder = await startQuarry('responder', stdout);
  const [, listener] = /^listener = (.*)$/m.exec(stdout) ?? [];
  const token = 'a'.repeat(43);
  await fleet.redisClient.set(challengeKey('{quarry}', token), `${token}.thumbprint`);
  const answer = await fetch(`http://${listener}/.well-known/acme-challenge/${token}`);
  assert.deepEqual([answer.status, await answer.text()], [200, `${token}.thumbprint`]);
  assert.equal(await responder.stop(), 0);
});

test('a role whose user loses rights while it runs is not ready until they are back, and then works', async () => {
  const [worker] = fleet.all('worker');
  const ready = async () => {
    const answer = await fetch(`${worker?.adminUrl}/readyz`);
    return [answer.status, await answer.text()];
  };
  await waitUntil('the worker to be ready', async () => (await ready())[0] === 200);
  await change('quarry-worker', '-zpopmin');
  const [status, reason] = await ready();
  assert.equal(status, 503);
  assert.match(
    `${reason}`,
    /^worker: Redis at \S+ does not allow this user \+zpopmin: give it the rights that quarry redis-acl prints\n/,
  );
  await change('quarry-worker', '+zpopmin');
  assert.equal((await ready())[0], 200);
  const { csrPem } = await makeCsr({ names: ['back.example'] });
  const answer = await fleet.post(csrPem);
  assert.equal(answer.status, 200, answer.body);
});
