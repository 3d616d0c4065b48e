import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { LimitedOrder } from '../../shared/limits/limited-order.ts';
import { openLimits, StandingLimitError } from '../../shared/limits/limits.ts';
import { openFlights } from '../../shared/queue/flights.ts';
import type { SignJobData } from '../../shared/queue/sign-job-data.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();

/** From the real time on, as Redis ends keys by its own clock. */
const startClock = () => turnedClock(Date.now());

function orderOf(...names: string[]): LimitedOrder {
  return { account: 'default', identifiers: names.map(value => ({ type: 'dns', value })) };
}

const HOUR = 3_600_000;
function rateLimited(detail: string, retryAfter: number | undefined) {
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail };
  return new IssuanceError('rateLimited', `the CA refused: ${detail}`, { problem, retryAfter });
}

test('standingAgainst() holds back all that a parked limit covers, and nothing else, until its end', async () => {
  const clock = startClock();
  const limits = openLimits(newStore(), clock);
  const end = clock.now() + HOUR;
  const said =
    'too many certificates (50) already issued for "example.org" in the last 168h0m0s, retry after …';
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
  const limits = openLimits(newStore(), clock);
  const said =
    'Your account is temporarily prevented from requesting certificates for a.example.org. Please visit: https://portal.example/unpause';
  await limits.park(orderOf('a.example.org'), rateLimited(said, undefined));
  clock.turn(1000 * HOUR);
  assert.equal((await limits.standingAgainst(orderOf('a.example.org')))?.code, 'rateLimited');
  const [limit] = await limits.list();
  assert.deepEqual(
    [limit?.key, limit?.until, limit?.names],
    ['name/a.example.org', undefined, ['a.example.org']],
  );
  assert.equal(await limits.clear('name/a.example.org'), true);
  assert.equal(await limits.clear('name/a.example.org'), false);
  assert.equal(await limits.standingAgainst(orderOf('a.example.org')), undefined);
  assert.deepEqual(await limits.list(), []);
});

test('recordFailure() holds the same names back from the fourth failure in an hour on, with the stored reason', async () => {
  const clock = startClock();
  const limits = openLimits(newStore(), clock);
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
  const flights = openFlights(newStore());
  const job = (...names: string[]) => ({ ...orderOf(...names), csr: names.join() }) as unknown as SignJobData;
  assert.equal(await flights.enter('one', job('a.org', 'b.org')), true);
  assert.equal(await flights.enter('one', job('a.org', 'b.org')), true);
  assert.equal(await flights.enter('two', job('b.org', 'a.org')), false);
  assert.equal(await flights.enter('two', job('a.org')), true);
  await flights.leave('two', job('b.org', 'a.org'));
  assert.equal(await flights.enter('two', job('b.org', 'a.org')), false);
  await flights.leave('one', job('a.org', 'b.org'));
  assert.equal(await flights.enter('two', job('b.org', 'a.org')), true);
  assert.equal(
    await flights.enter('three', { ...job('a.org', 'b.org'), certificateProfile: 'shortlived' }),
    true,
  );
});
