import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { IssuanceError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import type { LimitedOrder } from '../../shared/limits/limited-order.ts';
import { openLimits, StandingLimitError } from '../../shared/limits/limits.ts';
import { openFlights } from '../../shared/queue/flights.ts';
import type { SignJobData } from '../../shared/queue/sign-job-data.ts';
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
const freshPrefix = () => `{quarry-${++prefixes}}`;

/** From the real time on, as Redis ends keys by its own clock. */
const startClock = () => turnedClock(Date.now());

function orderOf(...names: string[]): LimitedOrder {
  return { account: 'default', identifiers: names.map(value => ({ type: 'dns', value })) };
}

const HOUR = 3_600_000;
const budgetOf = (limits: Parameters<typeof openBudget>[2], clock = startClock()) => ({
  clock,
  budget: openBudget(redis, freshPrefix(), limits, clock),
});

test('takeOrder() gives out as many orders at once as the limit has, then one as each token comes back', async () => {
  const { budget, clock } = budgetOf({ orders: { count: 3, period: 3 * HOUR } });
  const take = () => budget.takeOrder(orderOf('a.example.org'), { name: 'web' });
  for (let count = 0; count < 3; count++) assert.equal(await take(), undefined);
  assert.deepEqual(await take(), { key: 'account/default', until: clock.now() + HOUR });
  clock.turn(HOUR + 1);
  assert.equal(await take(), undefined);
  assert.equal((await take())?.key, 'account/default');
});

test('takeOrder() never gives out more than the limit to many workers at once', async () => {
  const { budget } = budgetOf({ orders: { count: 25, period: HOUR } });
  const taken = await Promise.all(
    Array.from({ length: 100 }, (_, index) => budget.takeOrder(orderOf(`h${index}.example.org`), { name: 'web' })),
  );
  assert.equal(taken.filter(shortage => shortage === undefined).length, 25);
});

test('takeOrder() takes from no limit when one of them is used up', async () => {
  const { budget } = budgetOf({
    orders: { count: 2, period: HOUR },
    certificatesPerSet: { count: 1, period: 7 * 24 * HOUR },
  });
  await budget.spendCertificate(orderOf('a.example.org'));
  for (let count = 0; count < 5; count++) {
    assert.match((await budget.takeOrder(orderOf('a.example.org'), { name: 'web' }))?.key ?? '', /^set\//);
  }
  assert.equal(await budget.takeOrder(orderOf('b.example.org'), { name: 'web' }), undefined);
  assert.equal(await budget.takeOrder(orderOf('c.example.org'), { name: 'web' }), undefined);
});

test('takeOrder() keeps a block to its share, whatever it asks for, and leaves the rest to others', async () => {
  const { budget } = budgetOf({ orders: { count: 10, period: HOUR } });
  const take = (name: string, share?: number) =>
    budget.takeOrder(orderOf('a.example.org'), share === undefined ? { name } : { name, share });
  for (let count = 0; count < 2; count++) assert.equal(await take('greedy', 0.2), undefined);
  assert.equal((await take('greedy', 0.2))?.key, 'share/greedy');
  for (let count = 0; count < 8; count++) assert.equal(await take('other'), undefined);
  assert.equal((await take('other'))?.key, 'account/default');
});

test('takeOrder() counts certificates for each registered domain, and only those that were issued', async () => {
  const { budget } = budgetOf({ certificatesPerDomain: { count: 2, period: HOUR } });
  const take = (name: string) => budget.takeOrder(orderOf(name), { name: 'web' });
  for (let count = 0; count < 5; count++) assert.equal(await take('a.example.org'), undefined);
  await budget.spendCertificate(orderOf('a.example.org', 'b.example.org'));
  await budget.spendCertificate(orderOf('c.example.org'));
  assert.equal((await take('d.example.org'))?.key, 'domain/example.org');
  assert.equal(await take('d.example.com'), undefined);
});

test('takeOrder() counts the failed authorizations of each name', async () => {
  const { budget, clock } = budgetOf({ failedAuthorizations: { count: 2, period: HOUR } });
  await budget.spendFailures(['a.example.org']);
  await budget.spendFailures(['a.example.org']);
  const shortage = await budget.takeOrder(orderOf('a.example.org', 'b.example.org'), { name: 'web' });
  assert.deepEqual(shortage, { key: 'name/a.example.org', until: clock.now() + HOUR / 2 });
  assert.equal(await budget.takeOrder(orderOf('b.example.org'), { name: 'web' }), undefined);
});

test('takeOrder() counts nothing for a CA without known limits', async () => {
  const prefix = freshPrefix();
  const budget = openBudget(redis, prefix, {}, startClock());
  for (let count = 0; count < 5; count++) {
    assert.equal(await budget.takeOrder(orderOf('a.example.org'), { name: 'web' }), undefined);
  }
  assert.deepEqual(await redis.keys(`${prefix}:*`), []);
});

function rateLimited(detail: string, retryAfter: number | undefined) {
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail };
  return new IssuanceError('rateLimited', `the CA refused: ${detail}`, { problem, retryAfter });
}

test('standingAgainst() holds back all that a parked limit covers, and nothing else, until its end', async () => {
  const clock = startClock();
  const limits = openLimits(redis, freshPrefix(), clock);
  const end = clock.now() + HOUR;
  const said = 'too many certificates (50) already issued for "example.org" in the last 168h0m0s, retry after …';
  await limits.park(orderOf('a.example.org'), rateLimited(said, end));

  const standing = await limits.standingAgainst(orderOf('other.example.org'));
  assert.ok(standing instanceof StandingLimitError);
  assert.deepEqual([standing.code, standing.retryAfter], ['rateLimited', end]);
  assert.match(standing.message, /too many certificates/);
  assert.equal(await limits.standingAgainst(orderOf('a.example.com')), undefined);
  clock.turn(HOUR + 1);
  assert.equal(await limits.standingAgainst(orderOf('other.example.org')), undefined);
});

test('park() without an end stands until an operator clears it', async () => {
  const clock = startClock();
  const limits = openLimits(redis, freshPrefix(), clock);
  const said =
    'Your account is temporarily prevented from requesting certificates for a.example.org. Please visit: https://portal.example/unpause';
  await limits.park(orderOf('a.example.org'), rateLimited(said, undefined));
  clock.turn(1000 * HOUR);
  assert.equal((await limits.standingAgainst(orderOf('a.example.org')))?.code, 'rateLimited');
  const [limit] = await limits.list();
  assert.deepEqual([limit?.key, limit?.until, limit?.names], ['name/a.example.org', undefined, ['a.example.org']]);
  assert.equal(await limits.clear('name/a.example.org'), true);
  assert.equal(await limits.clear('name/a.example.org'), false);
  assert.equal(await limits.standingAgainst(orderOf('a.example.org')), undefined);
  assert.deepEqual(await limits.list(), []);
});

test('recordFailure() holds the same names back from the fourth failure in an hour on, with the stored reason', async () => {
  const clock = startClock();
  const limits = openLimits(redis, freshPrefix(), clock);
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
  const [listed] = await limits.list();
  assert.match(listed?.key ?? '', /^failures\//);
  await limits.recordSuccess(order);
  assert.equal(await limits.standingAgainst(order), undefined);
});

test('enter() lets one job at a time order the same names, in whatever order they are named', async () => {
  const flights = openFlights(redis, freshPrefix());
  const job = (...names: string[]) => ({ ...orderOf(...names), csr: names.join() }) as unknown as SignJobData;
  assert.equal(await flights.enter('one', job('a.org', 'b.org')), true);
  assert.equal(await flights.enter('one', job('a.org', 'b.org')), true);
  assert.equal(await flights.enter('two', job('b.org', 'a.org')), false);
  assert.equal(await flights.enter('two', job('a.org')), true);
  await flights.leave('two', job('b.org', 'a.org'));
  assert.equal(await flights.enter('two', job('b.org', 'a.org')), false);
  await flights.leave('one', job('a.org', 'b.org'));
  assert.equal(await flights.enter('two', job('b.org', 'a.org')), true);
  assert.equal(await flights.enter('three', { ...job('a.org', 'b.org'), certificateProfile: 'shortlived' }), true);
});
