import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { type LimitScope, type Orderer, StandingLimitError } from '../../shared/limits/limits.ts';
import { clearLimit, listLimits } from '../../shared/limits/list-limits.ts';
import { openLimits } from '../../shared/limits/open-limits.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';

const server = await startRedis();
const redis = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

let prefixes = 0;
const freshStore = () => ({ redis, prefix: `{quarry-${++prefixes}}` });

/** From the real time on, as Redis ends keys by its own clock. */
const startClock = () => turnedClock(Date.now());

const scope: LimitScope = { account: 'default', ca: 'ca.example' };
const web: Orderer = { block: 'web', proof: 'http:http-01' };

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
  await limits.park(orderOf('a.example.org'), web, rateLimited(said, end));

  const standing = await limits.standingAgainst(orderOf('other.example.org'), web);
  assert.ok(standing instanceof StandingLimitError);
  assert.deepEqual([standing.code, standing.retryAfter], ['rateLimited', end]);
  assert.match(standing.message, /too many certificates/);
  assert.equal(await limits.standingAgainst(orderOf('a.example.com'), web), undefined);
  clock.turn(HOUR - 1);
  assert.ok(await limits.standingAgainst(orderOf('other.example.org'), web));
  clock.turn(1);
  assert.equal(await limits.standingAgainst(orderOf('other.example.org'), web), undefined);
});

test('park() of a limit whose words are not known holds back the names, the block once others of it meet it, and the account once others do', async () => {
  const clock = startClock();
  const store = freshStore();
  const limits = openLimits(store, scope, clock);
  const end = clock.now() + HOUR;
  const [first, second, third] = ['a.example.org', 'b.example.org', 'c.example.com'].map(name =>
    orderOf(name),
  );
  assert.ok(first && second && third);
  const other: Orderer = { ...web, block: 'mail' };
  const met = (order: Identifier[], orderer: Orderer) =>
    limits.park(order, orderer, rateLimited('slow down', end));
  for (let times = 0; times < 2; times++) await met(first, web);
  assert.equal((await limits.standingAgainst(first, web))?.retryAfter, end);
  assert.equal(await limits.standingAgainst(second, web), undefined);
  await met(second, web);
  assert.equal((await limits.standingAgainst(third, web))?.retryAfter, end);
  assert.equal(await limits.standingAgainst(third, other), undefined, 'one block alone holds up no other');
  const keys = (await listLimits(store, clock)).map(({ key }) => key);
  assert.deepEqual(
    keys.filter(key => !key.startsWith('set/')),
    ['block/web@default'],
  );

  await met(third, other);
  assert.equal(
    (await limits.standingAgainst(orderOf('d.example.net'), { ...web, block: 'third' }))?.retryAfter,
    end,
  );
  clock.turn(HOUR);
  assert.equal(await limits.standingAgainst(third, web), undefined);
});

test('park() without an end stands until an operator clears it', async () => {
  const clock = startClock();
  const store = freshStore();
  const limits = openLimits(store, scope, clock);
  const said =
    'Your account is temporarily prevented from requesting certificates for a.example.org. Please visit: https://portal.example/unpause';
  await limits.park(orderOf('a.example.org'), web, rateLimited(said, undefined));
  clock.turn(1000 * HOUR);
  assert.equal((await limits.standingAgainst(orderOf('a.example.org'), web))?.code, 'rateLimited');
  const [limit] = await listLimits(store, clock);
  assert.deepEqual(
    [limit?.key, limit?.until, limit?.names],
    ['name/a.example.org@ca.example', undefined, ['a.example.org']],
  );
  const key = 'name/a.example.org@ca.example';
  assert.deepEqual(await clearLimit(store, key, clock), [key]);
  assert.deepEqual(await clearLimit(store, key, clock), []);
  assert.equal(await limits.standingAgainst(orderOf('a.example.org'), web), undefined);
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
  await limits.park(order, web, rateLimited('slow down', clock.now() + 48 * HOUR));
  const standing = await limits.standingAgainst(order, web, csr);
  assert.ok(standing instanceof StandingLimitError);
  assert.deepEqual(
    [standing.code, standing.message, standing.problem, standing.retryAfter],
    ['badCsr', 'the CA refused: weak key', problem, undefined],
  );
  assert.equal((await limits.standingAgainst(order, web, 'e'.repeat(96)))?.code, 'rateLimited');
  assert.equal(await elsewhere.standingAgainst(order, web, csr), undefined);
  clock.turn(24 * HOUR);
  assert.equal((await limits.standingAgainst(order, web, csr))?.code, 'rateLimited');

  await limits.rememberCsr(csr, order, refused);
  const key = `csr/${'f'.repeat(16)}@ca.example`;
  assert.ok((await listLimits(store, clock)).some(one => one.key === key && one.detail === refused.message));
  assert.deepEqual(await clearLimit(store, key, clock), [key]);
  assert.equal((await limits.standingAgainst(order, web, csr))?.code, 'rateLimited');
});

test('rememberCsr() keeps an order for its account until the end of its CSR, and holds nobody back for it', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const limits = openLimits(store, scope, clock);
  const sibling = openLimits(store, { account: 'second', ca: scope.ca }, clock);
  const records = openSignRecords(store, testSeals);
  const [order, csr] = [orderOf('a.example.org'), 'f'.repeat(96)];
  const url = 'https://ca.example/order/1';
  const kept = { url, account: 'default', turn: 'counted', finalizedAt: clock.now() } as const;
  const working = new IssuanceError('unavailable', 'still working', { retryAfter: clock.now() + 9 * HOUR });
  await limits.rememberCsr(csr, order, working, kept);
  const found = async (by = limits, of = csr) => {
    const keys = by.keysAgainst(order, web, of);
    return by.findKept(keys, await redis.mget(keys));
  };
  assert.equal(await limits.standingAgainst(order, web, csr), undefined);
  assert.deepEqual(await found(), kept);
  assert.equal(await found(sibling), undefined, 'another account cannot have it');
  assert.equal(await found(limits, 'e'.repeat(96)), undefined);
  assert.equal(await redis.pexpiretime(limits.csrKey(csr)), clock.now() + (9 + 7 * 24) * HOUR);

  const lock = { jobId: 'job', token: 'token' };
  await redis.set(`${store.prefix}:sign:job:lock`, 'token');
  const over = [...limits.failureKeys(order, web), limits.csrKey(csr)];
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
    assert.equal(await limits.recordFailure(order, web, failure), undefined);
    assert.equal(await limits.standingAgainst(order, web), undefined);
  }
  const until = (await limits.recordFailure(order, web, failure)) ?? 0;
  assert.ok(until >= clock.now() + 60_000 && until <= clock.now() + 66_000);
  const standing = await limits.standingAgainst(orderOf('b.example.org', 'a.example.org'), web);
  assert.deepEqual(
    [standing?.code, standing?.message, standing?.retryAfter],
    ['challengeFailed', failure.message, until],
  );
  assert.deepEqual(standing?.problem, problem);
  assert.equal(await limits.standingAgainst(orderOf('a.example.org'), web), undefined);
  const [listed] = await listLimits(store, clock);
  assert.match(listed?.key ?? '', /^failures\//);
  await limits.recordSuccess(order, web);
  assert.equal(await limits.standingAgainst(order, web), undefined);
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
  await limits.recordFailure(order, web, failure);
  assert.equal(await life(), clock.now() + 48 * HOUR);
  for (let count = 0; count < 2; count++) await limits.recordFailure(order, web, failure);
  const until = (await limits.recordFailure(order, web, failure)) ?? 0;
  assert.equal(await life(), Math.ceil(until + 48 * HOUR));
  clock.turn(until - clock.now() - 1);
  assert.ok(await limits.standingAgainst(order, web));
  clock.turn(1);
  assert.equal(await limits.standingAgainst(order, web), undefined);
});

test('recordFailure() of one way to prove names says nothing of another, nor does a success of it', async () => {
  const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
  const limits = openLimits(store, scope, clock);
  const [http, dns]: Orderer[] = [web, { block: 'mail', proof: 'dns:dns-01' }];
  const failure = new IssuanceError('challengeFailed', 'a.example.org: NXDOMAIN');
  assert.ok(http && dns);
  const standing = async () => {
    const found = [await limits.standingAgainst(order, http), await limits.standingAgainst(order, dns)];
    return found.map(limit => limit?.code);
  };
  for (let count = 0; count < 4; count++) await limits.recordFailure(order, dns, failure);
  assert.deepEqual(await standing(), [undefined, 'challengeFailed']);
  for (let count = 0; count < 4; count++) await limits.recordFailure(order, http, failure);
  await limits.recordSuccess(order, http);
  assert.deepEqual(await standing(), [undefined, 'challengeFailed']);
  const sameProof = { ...dns, block: 'third' };
  assert.equal(
    (await limits.standingAgainst(order, sameProof))?.code,
    'challengeFailed',
    'whoever proves so',
  );
});

test('clearLimit() clears failures of one verification, or of all of them where none is named', async () => {
  const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
  const limits = openLimits(store, scope, clock);
  const proofs = ['dns:dns-01', 'web:http-01'];
  const failure = new IssuanceError('challengeFailed', 'a.example.org: NXDOMAIN');
  const fail = async () => {
    for (const proof of proofs)
      for (let count = 0; count < 4; count++) await limits.recordFailure(order, { proof }, failure);
  };
  await fail();
  const keys = (await listLimits(store, clock)).map(({ key }) => key);
  assert.deepEqual(
    keys.map(key => key.replace(/[0-9a-f]{16}/, 'SET')),
    proofs.map(proof => `failures/SET/${proof}@ca.example`),
  );
  const [set = ''] = /^failures\/[0-9a-f]{16}/.exec(keys[0] ?? '') ?? [];
  assert.deepEqual(await clearLimit(store, `${set}/web:http-01`, clock), [keys[1]]);
  for (const key of ['failures', 'failures/', set.slice(0, -1)])
    assert.deepEqual(await clearLimit(store, key, clock), [], key);
  await fail();
  assert.deepEqual(await clearLimit(store, set, clock), keys);
});

test('what an older version has of failures ends nobody, and is listed and cleared', async () => {
  const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
  const limits = openLimits(store, scope, clock);
  const failed = {
    recent: [],
    level: 2,
    until: clock.now() + HOUR,
    code: 'challengeFailed',
    detail: 'x',
    names: [],
  };
  const key = 'failures/0123456789abcdef';
  await redis.set(`${store.prefix}:limit:${key}`, JSON.stringify(failed));
  assert.equal(await limits.standingAgainst(order, web), undefined);
  assert.deepEqual(
    (await listLimits(store, clock)).map(one => one.key),
    [key],
  );
  assert.deepEqual(await clearLimit(store, key, clock), [key]);
});

/** Fails orders of a block, each for a name of its own. @returns what each brings the block under */
function failOrders(
  limits: ReturnType<typeof openLimits>,
  block: string,
  count: number,
  client = '192.0.2.1',
) {
  const failure = new IssuanceError('challengeFailed', 'NXDOMAIN');
  const orders = Array.from({ length: count }, (_, at) => orderOf(`h${at}.example.org`));
  return Promise.all(orders.map(order => limits.countFailedOrder(order, { ...web, block, client }, failure)));
}

test('countFailedOrder() slows a block down by 20 failures in ten minutes, whatever the names, and tells so once', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const limits = openLimits(store, scope, clock);
  const isSlow = async (block: string) => (await redis.exists(limits.slowKey(block))) === 1;
  assert.deepEqual((await failOrders(limits, 'web', 19)).filter(Boolean), []);
  await failOrders(limits, 'mail', 19);
  assert.equal(await isSlow('web'), false);
  const told = (await failOrders(limits, 'web', 5)).filter(one => one !== undefined);
  assert.deepEqual(
    told.map(({ key, until }) => [key, until]),
    [['slow/web', clock.now() + HOUR]],
  );
  assert.match(told[0]?.detail ?? '', /^auth block web is slowed down .*20 of its orders.*NXDOMAIN$/);
  assert.deepEqual([await isSlow('web'), await isSlow('mail')], [true, false]);
  assert.deepEqual(
    (await listLimits(store, clock)).map(({ key }) => key),
    ['slow/web'],
  );

  await clearLimit(store, 'slow/web', clock);
  assert.deepEqual((await failOrders(limits, 'web', 19)).filter(Boolean), [], 'it begins anew');
});

test('countFailedOrder() slows no block down whose failures are further apart', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const limits = openLimits(store, scope, clock);
  await failOrders(limits, 'web', 19);
  clock.turn(10 * 60_000);
  assert.deepEqual((await failOrders(limits, 'web', 19)).filter(Boolean), []);
});

test('a success ends what slows its block down, and what was counted of it, and no failures of other names', async () => {
  const [store, clock, good] = [freshStore(), startClock(), orderOf('good.example.org')];
  const limits = openLimits(store, scope, clock);
  const bad = orderOf('bad.example.org');
  for (let count = 0; count < 4; count++)
    await limits.recordFailure(bad, web, new IssuanceError('challengeFailed', 'x'));
  const succeed = () => redis.del(limits.failureKeys(good, web));
  await failOrders(limits, 'web', 19);
  await succeed();
  assert.deepEqual((await failOrders(limits, 'web', 19)).filter(Boolean), []);
  await failOrders(limits, 'web', 1);
  assert.equal(await redis.exists(limits.slowKey('web')), 1);
  await succeed();
  assert.equal(await redis.exists(limits.slowKey('web')), 0);
  assert.equal((await limits.standingAgainst(bad, web))?.code, 'challengeFailed');
});

test('failedOrders() counts by client, and by the network of one that has IPv6, until one of the block succeeds', async () => {
  const limits = openLimits(freshStore(), scope, startClock());
  await failOrders(limits, 'web', 3, '192.0.2.1');
  await failOrders(limits, 'web', 2, '2001:db8::1');
  await failOrders(limits, 'web', 2, '2001:db8::ffff:0:0:1');
  await failOrders(limits, 'mail', 1, '192.0.2.2');
  const counts = async () => {
    const clients = ['192.0.2.1', '192.0.2.2', '2001:db8::7:7:7:7', '2001:db8:0:1::1', undefined];
    return Promise.all(clients.map(client => limits.failedOrders({ ...web, client })));
  };
  assert.deepEqual(await counts(), [3, 0, 4, 0, 0]);
  await limits.recordSuccess(orderOf('good.example.org'), web);
  assert.deepEqual(await counts(), [0, 0, 0, 0, 0]);
  assert.equal(await limits.failedOrders({ ...web, block: 'mail', client: '192.0.2.2' }), 1);
});

test('a block that goes on failing stays slow for an hour after the last failure', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const limits = openLimits(store, scope, clock);
  await failOrders(limits, 'web', 20);
  const listed = async () => (await listLimits(store, clock)).map(({ until }) => until);
  clock.turn(HOUR - 1);
  await failOrders(limits, 'web', 1);
  assert.deepEqual(await listed(), [clock.now() + HOUR]);
  clock.turn(HOUR);
  assert.deepEqual(await listed(), []);
});

test('what the CA counts for a name stands against everybody, and the answer says so', async () => {
  const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
  const limits = openLimits(store, scope, clock);
  await limits.park(order, web, rateLimited(said.name, clock.now() + HOUR));
  const standing = await limits.standingAgainst(order, { block: 'mail', proof: 'dns:dns-01' });
  const shared = 'the CA counts failures of a.example.org for everybody who orders it here';
  assert.equal(standing?.message, `the CA refused: ${said.name} (${shared})`);
});

test('park() and recordFailure() end once Redis has it, and with its error where it has not', async () => {
  const full = { get: async () => null, set: () => Promise.reject(new Error('OOM command not allowed')) };
  const store = { redis: full as Partial<typeof redis> as typeof redis, prefix: '{full}' };
  const clock = startClock();
  const limits = openLimits(store, scope, clock);
  const order = orderOf('a.example.org');
  for (const end of [clock.now() + HOUR, undefined]) {
    const paused = 'temporarily prevented for a.example.org, see https://portal.example/unpause';
    await assert.rejects(limits.park(order, web, rateLimited(paused, end)), /OOM/);
  }
  await assert.rejects(limits.recordFailure(order, web, new IssuanceError('challengeFailed', 'x')), /OOM/);
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
    await first?.park(order, web, rateLimited(said[what], clock.now() + HOUR));
    assert.equal((await first?.standingAgainst(order, web))?.code, 'rateLimited', what);
    assert.equal((await second?.standingAgainst(order, web)) !== undefined, shared, what);
  }
});

test('two CAs share no limit, nor what failed at one of them', async () => {
  const [store, clock, order] = [freshStore(), startClock(), orderOf('a.example.org')];
  const limits = openLimits(store, scope, clock);
  const elsewhere = openLimits(store, { account: 'second', ca: 'other.example' }, clock);
  for (const detail of Object.values(said))
    await limits.park(order, web, rateLimited(detail, clock.now() + HOUR));
  assert.equal((await limits.standingAgainst(order, web))?.code, 'rateLimited');
  assert.equal(await elsewhere.standingAgainst(order, web), undefined);
  const failure = new IssuanceError('challengeFailed', 'a.example.org: CAA record prevents issuance');
  for (let count = 0; count < 4; count++) await elsewhere.recordFailure(order, web, failure);
  assert.equal((await elsewhere.standingAgainst(order, web))?.code, 'challengeFailed');
  assert.equal((await limits.standingAgainst(order, web))?.code, 'rateLimited');
});

test('clearLimit() clears a key without @ at every CA, one with @ at that one, and nothing that it does not name', async () => {
  const [store, clock] = [freshStore(), startClock()];
  const at = (ca: string) => openLimits(store, { account: ca.slice(0, 1), ca }, clock);
  const order = orderOf('a.example.org');
  const park = async () => {
    for (const ca of ['a.example', 'b.example'])
      await at(ca).park(order, web, rateLimited(said.name, clock.now() + HOUR));
  };
  await park();
  await at('a.example').park(orderOf('b.example.org'), web, rateLimited(said.orders, clock.now() + HOUR));
  const listed = async () => (await listLimits(store, clock)).map(({ key }) => key);
  const names = ['name/a.example.org@a.example', 'name/a.example.org@b.example'];
  assert.deepEqual(await listed(), ['account/a', ...names]);
  for (const key of ['name/a.example', 'name/', 'a.example.org', 'name/*', 'name/a.example.org@a'])
    assert.deepEqual(await clearLimit(store, key, clock), [], key);
  assert.deepEqual(await clearLimit(store, 'name/a.example.org', clock), names);
  assert.deepEqual(await listed(), ['account/a']);
  assert.equal(await at('b.example').standingAgainst(order, web), undefined);
  await park();
  assert.deepEqual(await clearLimit(store, 'name/a.example.org@b.example', clock), [names[1]]);
  assert.deepEqual(await listed(), ['account/a', names[0]]);
});

test('enterFlight() lets one job at a time order the same names, in whatever order they are named', async () => {
  const store = freshStore();
  const records = openSignRecords(store, testSeals);
  const held = async (jobId: string) => {
    await redis.set(`${store.prefix}:sign:${jobId}:lock`, jobId);
    return { jobId, token: jobId };
  };
  const [one, two, three, four] = [
    await held('one'),
    await held('two'),
    await held('three'),
    await held('four'),
  ];
  const flight = (...names: string[]) => ({ account: 'default', identifiers: orderOf(...names) });
  assert.ok(await records.enterFlight(one, flight('a.org', 'b.org'), []));
  assert.ok(await records.enterFlight(one, flight('a.org', 'b.org'), []));
  assert.equal(await records.enterFlight(two, flight('b.org', 'a.org'), []), undefined);
  assert.ok(await records.enterFlight(two, flight('a.org'), []));
  await records.leaveFlight(two, flight('b.org', 'a.org'));
  assert.equal(await records.enterFlight(two, flight('b.org', 'a.org'), []), undefined);
  await records.leaveFlight(one, flight('a.org', 'b.org'));
  assert.ok(await records.enterFlight(two, flight('b.org', 'a.org'), []));
  const profiled = { ...flight('a.org', 'b.org'), certificateProfile: 'shortlived' };
  assert.ok(await records.enterFlight(three, profiled, []));
  assert.ok(await records.enterFlight(four, { ...flight('a.org', 'b.org'), account: 'second' }, []));
});
