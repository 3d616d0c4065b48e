import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { type Breaker, openBreaker } from '../../shared/ca/breaker.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';

const server = await startRedis();
const connections = Array.from({ length: 4 }, () => openRedis({ url: server.url }, 'patient', quietLog));
const [redis] = connections as [ReturnType<typeof openRedis>];
after(async () => {
  for (const connection of connections) closeRedis(connection);
  await server[Symbol.asyncDispose]();
});

const ca = 'ca.example/acme';
const hour = 3_600_000;
/** No probe is due within a test. */
const long = { first: hour, longest: hour };
/** Probes are due in a moment. */
const short = { first: 10, longest: 50 };

let prefixes = 0;

/** The breaker of one CA in the processes of a fleet, each with a connection of its own. */
function openFleet(pauses: typeof long) {
  const prefix = `{quarry-${++prefixes}}`;
  const breakers = connections.map(redis => openBreaker({ redis, prefix }, ca, pauses));
  const [first, second] = breakers as [Breaker, Breaker];
  return { breakers, first, second, prefix, key: `${prefix}:breaker:${ca}` };
}

/** One after the other. @returns what each call answered */
async function fail(breaker: Breaker, times: number): Promise<boolean[]> {
  const answers: boolean[] = [];
  for (let count = 1; count <= times; count++) answers.push(await breaker.failed(`failure ${count}`));
  return answers;
}

const admitAll = (breakers: Breaker[]) => Promise.all(breakers.map(breaker => breaker.admit()));
const count = <T>(values: T[], wanted: T) => values.filter(value => value === wanted).length;
const untilProbe = (breaker: Breaker) =>
  waitUntil('a probe to be let through', async () => (await breaker.admit()) === 'probe');

test('a breaker opens at the third failure in a row, whichever process saw each, and tells since when and why', async () => {
  const { first, second, breakers } = openFleet(long);
  assert.deepEqual(await fail(first, 1), [false]);
  assert.deepEqual(await fail(second, 1), [false]);
  assert.deepEqual(await admitAll(breakers), Array(4).fill('closed'));
  assert.equal(await first.opened(), undefined);
  const before = Date.now();
  assert.equal(await second.failed('connect ECONNREFUSED'), true);
  const after = Date.now();
  assert.deepEqual(await admitAll(breakers), Array(4).fill('open'));
  const { since = 0, reason } = (await first.opened()) ?? {};
  assert.equal(reason, 'connect ECONNREFUSED');
  assert.ok(since >= before && since <= after, `${since}`); // Redis runs on this machine
});

test('a breaker opens once for a fleet, however many failures come at once', async () => {
  const { breakers } = openFleet(long);
  const told = await Promise.all(breakers.flatMap(breaker => [1, 2, 3].map(() => breaker.failed('away'))));
  assert.equal(count(told, true), 1);
  assert.deepEqual(await admitAll(breakers), Array(4).fill('open'));
  const more = await Promise.all(breakers.map(breaker => breaker.failed('away')));
  assert.equal(count(more, true), 0);
});

test('an answer between failures has them counted from the start, whoever saw them', async () => {
  const { first, second } = openFleet(long);
  assert.deepEqual(await fail(first, 2), [false, false]);
  assert.equal(await second.admit(), 'closed');
  assert.equal(await second.answered(), false);
  assert.deepEqual(await fail(first, 2), [false, false]);
  assert.equal(await first.answered(), false);
  assert.deepEqual(await fail(first, 3), [false, false, true]);
});

test('failures that are further apart than a minute do not open a breaker', async () => {
  const { first, key } = openFleet(long);
  assert.deepEqual(await fail(first, 2), [false, false]);
  await redis.hset(key, 'first', Date.now() - 61_000);
  assert.deepEqual(await fail(first, 3), [false, false, true]);
});

test('the breakers of two CAs are two', async () => {
  const { first, prefix } = openFleet(long);
  const other = openBreaker({ redis, prefix }, 'other.example', long);
  await fail(first, 3);
  assert.deepEqual([await first.admit(), await other.admit()], ['open', 'closed']);
  assert.deepEqual(await fail(other, 2), [false, false]);
});

test('admit() lets one probe through when it is due, and nobody else until that has reported', async () => {
  const { first, breakers } = openFleet(short);
  await fail(first, 3);
  let states: string[] = [];
  await waitUntil('a probe to be let through', async () => {
    states = await admitAll([...breakers, ...breakers]);
    return states.includes('probe');
  });
  assert.equal(count(states, 'probe'), 1);
  assert.equal(count(states, 'open'), 7);
  for (let round = 0; round < 3; round++) assert.deepEqual(await admitAll(breakers), Array(4).fill('open'));
});

test('a probe that fails doubles the pause to the next one, up to the longest', async () => {
  const { first, second, key } = openFleet(short);
  await fail(first, 3);
  const pauses = [await redis.hget(key, 'pause')];
  for (let round = 0; round < 4; round++) {
    await untilProbe(second);
    assert.equal(await second.failed(`probe ${round}`), false);
    assert.equal((await first.opened())?.reason, `probe ${round}`);
    pauses.push(await redis.hget(key, 'pause'));
  }
  assert.deepEqual(pauses, ['10', '20', '40', '50', '50']);
  await untilProbe(first);
});

test('what fails beside the probe changes nothing of an open breaker', async () => {
  const { first, second, key } = openFleet(long);
  await fail(first, 3);
  const before = await redis.hgetall(key);
  assert.deepEqual(await fail(second, 5), Array(5).fill(false));
  assert.deepEqual(await redis.hgetall(key), before);
});

test('a probe that is answered closes the breaker, which is told once', async () => {
  const { first, second, breakers } = openFleet(short);
  await fail(first, 3);
  await untilProbe(second);
  await admitAll(breakers); // all know of it
  const told = await Promise.all(breakers.map(breaker => breaker.answered()));
  assert.equal(count(told, true), 1);
  assert.deepEqual(await admitAll(breakers), Array(4).fill('closed'));
  assert.equal(await first.opened(), undefined);
  assert.deepEqual(await fail(first, 3), [false, false, true]);
});

test('an answer to an order that was under way closes a breaker too', async () => {
  const { first, second } = openFleet(long);
  assert.equal(await first.failed('away'), false);
  assert.deepEqual(await fail(second, 2), [false, true]);
  assert.equal(await first.answered(), true);
  assert.equal(await second.admit(), 'closed');
});

test("a healthy CA's answers cost no command", async () => {
  const { prefix } = openFleet(long);
  const own = openRedis({ url: server.url }, 'patient', quietLog);
  const breaker = openBreaker({ redis: own, prefix }, ca, long);
  assert.equal(await breaker.admit(), 'closed');
  assert.equal(breaker.suspected, false);
  await breaker.failed('once');
  assert.equal(breaker.suspected, true);
  assert.equal(await breaker.answered(), false);
  assert.equal(await breaker.admit(), 'closed');
  assert.equal(breaker.suspected, false);
  closeRedis(own);
});

test('a breaker that nobody speaks of any more is forgotten', async () => {
  const { first, key } = openFleet(long);
  await first.failed('away');
  assert.ok((await redis.pttl(key)) > 0);
  await fail(first, 2);
  assert.ok((await redis.pttl(key)) > hour);
});
