import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { IssuanceError } from '../../shared/base/basics.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { type LimitScope, openLimits, StandingLimitError } from '../../shared/limits/limits.ts';
import { clearLimit, listLimits } from '../../shared/limits/list-limits.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { turnedClock } from '../support/turned-clock.ts';

const server = await startRedis();
const redis = openRedis(server.url, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

let prefixes = 0;
const freshStore = () => ({ redis, prefix: `{quarry-${++prefixes}}` });

/** From the real time on, as Redis ends keys by its own clock. */
const startClock = () => turnedClock(Date.now());

const scope: LimitScope = { account: 'default', ca: 'ca.example' };

function orderOf(...names: string[]): Identifier[] {
  return names.map(value => ({ type: 'dns', value }));
}

const HOUR = 3_600_000;
function rateLimited(detail: string, retryAfter: number | undefined) {
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail };
  return new IssuanceError('rateLimited', `the CA refused: ${detail}`, { problem, retryAfter });
}

test('standingAgainst() holds back all that a parked limit covers, and nothing else, until its end', async () => {
  const clock = startClock();
  const store = freshStore();
  const limits = openLimits(store, scope, clock);
  const end = clock.now() + HOUR;
  const said =
    'too many certificates (50) already issued for "example.org" in the last 168h0m0s, retry after …';
  await limits.park(orderOf('a.example.org'), rateLimited(said, end));

  const standing = await limits.standingAgainst(orderOf('other.example.org'));
  assert.ok(standing instanceof StandingLimitError);
  assert.deepEqual([standing.code, standing.retryAfter], ['rateLimited', end]);
  assert.match(standing.message, /too many certificates/);
  assert.equal(await limits.standingAgainst(orderOf('a.example.com')), undefined);
  clock.turn(HOUR - 1);
  assert.ok(await limits.standingAgainst(orderOf('other.example.org')));
  clock.turn(1);
  assert.equal(await limits.standingAgainst(orderOf('other.example.org')), undefined);
});

test('park() of a limit whose words are not known holds back the same names, and the account once others meet it', async () => {
  const clock = startClock();
  const limits = openLimits(freshStore(), scope, clock);
  const end = clock.now() + HOUR;
  const [first, second, third] = ['a.example.org', 'b.example.org', 'c.example.com'].map(name =>
    orderOf(name),
  );
  assert.ok(first && second && third);
  for (let times = 0; times < 2; times++) await limits.park(first, rateLimited('slow down', end));
  assert.equal((await limits.standingAgainst(first))?.retryAfter, end);
  assert.equal(await limits.standingAgainst(second), undefined);
  await limits.park(second, rateLimited('slow down', end));
  assert.equal((await limits.standingAgainst(third))?.retryAfter, end);

  clock.turn(HOUR);
  assert.equal(await limits.standingAgainst(third), undefined);
});

test('park() without an end stands until an operator clears it', async () => {
  const clock = startClock();
  const store = freshStore();
  const limits = openLimits(store, scope, clock);
  const said =
    'Your account is temporarily prevented from requesting certificates for a.example.org. Please visit: https://portal.example/unpause';
  await limits.park(orderOf('a.example.org'), rateLimited(said, undefined));
  clock.turn(1000 * HOUR);
  assert.equal((await limits.standingAgainst(orderOf('a.example.org')))?.code, 'rateLimited');
  const [limit] = await listLimits(store, clock);
  assert.deepEqual(
    [limit?.key, limit?.until, limit?.names],
    ['name/a.example.org@ca.example', undefined, ['a.example.org']],
  );
  const key = 'name/a.example.org@ca.example';
  assert.deepEqual(await clearLimit(store, key, clock), [key]);
  assert.deepEqual(await clearLimit(store, key, clock), []);
  assert.equal(await limits.standingAgainst(orderOf('a.example.org')), undefined);
  assert.deepEqual(await listLimits(store, clock), []);
});

test('rememberCsr() has a CSR that the CA refused refused at once there, for a day or until an operator lifts it', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const limits = openLimits(store, scope, clock);
  const elsewhere = openLimits(store, { account: 'second', ca: 'other.example' }, clock);
  const [order, csr] = [orderOf('a.example.org'), 'f'.repeat(96)];
  const problem = { type: 'urn:ietf:params:acme:error:badCSR', detail: 'weak key' };
  const refused = new IssuanceError('badCsr', 'the CA refused: weak key', { problem });
  await limits.rememberCsr(csr, order, refused);
  await limits.park(order, rateLimited('slow down', clock.now() + 48 * HOUR));
  const standing = await limits.standingAgainst(order, csr);
  assert.ok(standing instanceof StandingLimitError);
  assert.deepEqual(
    [standing.code, standing.message, standing.problem, standing.retryAfter],
    ['badCsr', 'the CA refused: weak key', problem, undefined],
  );
  assert.equal((await limits.standingAgainst(order, 'e'.repeat(96)))?.code, 'rateLimited');
  assert.equal(await elsewhere.standingAgainst(order, csr), undefined);
  clock.turn(24 * HOUR);
  assert.equal((await limits.standingAgainst(order, csr))?.code, 'rateLimited');

  await limits.rememberCsr(csr, order, refused);
  const key = `csr/${'f'.repeat(16)}@ca.example`;
  assert.ok((await listLimits(store, clock)).some(one => one.key === key && one.detail === refused.message));
  assert.deepEqual(await clearLimit(store, key, clock), [key]);
  assert.equal((await limits.standingAgainst(order, csr))?.code, 'rateLimited');
});

test('rememberCsr() keeps an order for its account until the end of its CSR, and holds nobody back for it', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const limits = openLimits(store, scope, clock);
  const sibling = openLimits(store, { account: 'second', ca: scope.ca }, clock);
  const records = openSignRecords(store);
  const [order, csr] = [orderOf('a.example.org'), 'f'.repeat(96)];
  const url = 'https://ca.example/order/1';
  const kept = { url, account: 'default', turn: 'counted', finalizedAt: clock.now() } as const;
  const working = new IssuanceError('unavailable', 'still working', { retryAfter: clock.now() + 9 * HOUR });
  await limits.rememberCsr(csr, order, working, kept);
  const found = async (by = limits, of = csr) => {
    const keys = by.keysAgainst(order, of);
    return by.findKept(keys, await redis.mget(keys));
  };
  assert.equal(await limits.standingAgainst(order, csr), undefined);
  assert.deepEqual(await found(), kept);
  assert.equal(await found(sibling), undefined, 'another account cannot have it');
  assert.equal(await found(limits, 'e'.repeat(96)), undefined);
  assert.equal(await redis.pexpiretime(limits.csrKey(csr)), clock.now() + (9 + 7 * 24) * HOUR);

  const lock = { jobId: 'job', token: 'token' };
  await redis.set(`${store.prefix}:sign:job:lock`, 'token');
  const over = [limits.failuresKey(order), limits.csrKey(csr)];
  const result = { outcome: 'issued', block: 'web', chain: 'a chain' } as const;
  await records.writeResult(lock, result, { account: 'default', identifiers: order }, over);
  assert.equal(await found(), undefined);
});

test('recordFailure() holds the same names back from the fourth failure in an hour on, with the stored reason', async () => {
  const clock = startClock();
  const store = freshStore();
  const limits = openLimits(store, scope, clock);
  const order = orderOf('a.example.org', 'b.example.org');
  const problem = {
    type: 'urn:ietf:params:acme:error:connection',
    identifier: { type: 'dns', value: 'a.example.org' },
  };
  const failure = new IssuanceError('challengeFailed', 'a.example.org: connection refused', { problem });
  for (let count = 0; count < 3; count++) {
    assert.equal(await limits.recordFailure(order, failure), undefined);
    assert.equal(await limits.standingAgainst(order), undefined);
  }
  const until = (await limits.recordFailure(order, failure)) ?? 0;
  assert.ok(until >= clock.now() + 60_000 && until <= clock.now() + 66_000);
  const standing = await limits.standingAgainst(orderOf('b.example.org', 'a.example.org'));
  assert.deepEqual(
    [standing?.code, standing?.message, standing?.retryAfter],
    ['challengeFailed', failure.message, until],
  );
  assert.deepEqual(standing?.problem, problem);
  assert.equal(await limits.standingAgainst(orderOf('a.example.org')), undefined);
  const [listed] = await listLimits(store, clock);
  assert.match(listed?.key ?? '', /^failures\//);
  await limits.recordSuccess(order);
  assert.equal(await limits.standingAgainst(order), undefined);
});

test('recordFailure() holds names back until its end and no longer, and knows of failures for two days more', async () => {
  const clock = startClock();
  const store = freshStore();
  const limits = openLimits(store, scope, clock);
  const order = orderOf('a.example.org');
  const failure = new IssuanceError('challengeFailed', 'a.example.org: connection refused');
  const life = async () => {
    const [key = ''] = await redis.keys(`${store.prefix}:limit:failures/*`);
    return redis.pexpiretime(key);
  };
  await limits.recordFailure(order, failure);
  assert.equal(await life(), clock.now() + 48 * HOUR);
  for (let count = 0; count < 2; count++) await limits.recordFailure(order, failure);
  const until = (await limits.recordFailure(order, failure)) ?? 0;
  assert.equal(await life(), Math.ceil(until + 48 * HOUR));
  clock.turn(until - clock.now() - 1);
  assert.ok(await limits.standingAgainst(order));
  clock.turn(1);
  assert.equal(await limits.standingAgainst(order), undefined);
});

test('park() and recordFailure() end once Redis has it, and with its error where it has not', async () => {
  const full = { get: async () => null, set: () => Promise.reject(new Error('OOM command not allowed')) };
  const store = { redis: full as Partial<typeof redis> as typeof redis, prefix: '{full}' };
  const clock = startClock();
  const limits = openLimits(store, scope, clock);
  const order = orderOf('a.example.org');
  for (const end of [clock.now() + HOUR, undefined]) {
    const paused = 'temporarily prevented for a.example.org, see https://portal.example/unpause';
    await assert.rejects(limits.park(order, rateLimited(paused, end)), /OOM/);
  }
  await assert.rejects(limits.recordFailure(order, new IssuanceError('challengeFailed', 'x')), /OOM/);
});

const said = {
  orders: 'too many new orders (300) from this account in the last 3h0m0s',
  domain: 'too many certificates (50) already issued for "example.org" in the last 168h0m0s',
  set: 'too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s',
  name: 'too many failed authorizations (5) for "a.example.org" in the last 1h0m0s',
};

test('two accounts at one CA share what it limits for domains, sets and names, and not for an account', async () => {
  for (const [what, shared] of [
    ['domain', true],
    ['set', true],
    ['name', true],
    ['orders', false],
  ] as const) {
    const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
    const [first, second] = ['default', 'second'].map(account =>
      openLimits(store, { ...scope, account }, clock),
    );
    await first?.park(order, rateLimited(said[what], clock.now() + HOUR));
    assert.equal((await first?.standingAgainst(order))?.code, 'rateLimited', what);
    assert.equal((await second?.standingAgainst(order)) !== undefined, shared, what);
  }
});

test('two CAs share no limit, but what failed at one is not tried at the other', async () => {
  const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
  const limits = openLimits(store, scope, clock);
  const elsewhere = openLimits(store, { account: 'second', ca: 'other.example' }, clock);
  for (const detail of Object.values(said)) await limits.park(order, rateLimited(detail, clock.now() + HOUR));
  assert.equal((await limits.standingAgainst(order))?.code, 'rateLimited');
  assert.equal(await elsewhere.standingAgainst(order), undefined);
  const failure = new IssuanceError('challengeFailed', 'a.example.org: connection refused');
  for (let count = 0; count < 4; count++) await limits.recordFailure(order, failure);
  assert.equal((await elsewhere.standingAgainst(order))?.code, 'challengeFailed');
  await elsewhere.recordSuccess(order);
  assert.equal((await limits.standingAgainst(order))?.code, 'rateLimited');
});

test('clearLimit() clears a key without @ at every CA, one with @ at that one, and nothing that it does not name', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const at = (ca: string) => openLimits(store, { account: ca.slice(0, 1), ca }, clock);
  const order = orderOf('a.example.org');
  const park = async () => {
    for (const ca of ['a.example', 'b.example'])
      await at(ca).park(order, rateLimited(said.name, clock.now() + HOUR));
  };
  await park();
  await at('a.example').park(orderOf('b.example.org'), rateLimited(said.orders, clock.now() + HOUR));
  const listed = async () => (await listLimits(store, clock)).map(({ key }) => key);
  const names = ['name/a.example.org@a.example', 'name/a.example.org@b.example'];
  assert.deepEqual(await listed(), ['account/a', ...names]);
  for (const key of ['name/a.example', 'name/', 'a.example.org', 'name/*', 'name/a.example.org@a'])
    assert.deepEqual(await clearLimit(store, key, clock), [], key);
  assert.deepEqual(await clearLimit(store, 'name/a.example.org', clock), names);
  assert.deepEqual(await listed(), ['account/a']);
  assert.equal(await at('b.example').standingAgainst(order), undefined);
  await park();
  assert.deepEqual(await clearLimit(store, 'name/a.example.org@b.example', clock), [names[1]]);
  assert.deepEqual(await listed(), ['account/a', names[0]]);
});

test('enterFlight() lets one job at a time order the same names, in whatever order they are named', async () => {
  const records = openSignRecords(freshStore());
  const flight = (...names: string[]) => ({ account: 'default', identifiers: orderOf(...names) });
  assert.ok(await records.enterFlight('one', flight('a.org', 'b.org'), []));
  assert.ok(await records.enterFlight('one', flight('a.org', 'b.org'), []));
  assert.equal(await records.enterFlight('two', flight('b.org', 'a.org'), []), undefined);
  assert.ok(await records.enterFlight('two', flight('a.org'), []));
  await records.leaveFlight('two', flight('b.org', 'a.org'));
  assert.equal(await records.enterFlight('two', flight('b.org', 'a.org'), []), undefined);
  await records.leaveFlight('one', flight('a.org', 'b.org'));
  assert.ok(await records.enterFlight('two', flight('b.org', 'a.org'), []));
  const profiled = { ...flight('a.org', 'b.org'), certificateProfile: 'shortlived' };
  assert.ok(await records.enterFlight('three', profiled, []));
  assert.ok(await records.enterFlight('four', { ...flight('a.org', 'b.org'), account: 'second' }, []));
});
