import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';
import {
  concludeRound,
  goesElsewhere,
  type Refusal,
  refusedByAll,
  retryTime,
  SHORT_PATIENCE,
} from '../../../shared/order/fail-over.ts';

const HOUR = 3_600_000;
const kind = (name: string) => ({ type: `urn:ietf:params:acme:error:${name}` });
const failed = (code: IssuanceErrorCode, retryAfter?: number, problem?: object) =>
  new IssuanceError(code, 'x', { retryAfter, problem: problem as never });

for (const [what, error, unreachable, elsewhere] of [
  ['a CA that is away for a moment', failed('unavailable'), false, false],
  ['a CA that the fleet cannot reach', failed('unavailable'), true, true],
  ['a CA that asks for more time than there is', failed('unavailable', 101), false, true],
  ['a CA that asks for a moment', failed('unavailable', 100), false, false],
  ['a rate limit that stands too long', failed('rateLimited', 101), false, true],
  ['a rate limit that only a person ends', failed('rateLimited'), false, true],
  ['a rate limit that ends in time', failed('rateLimited', 100), false, false],
  ['an account that is paused, deactivated or unbound', failed('misconfigured'), false, true],
  ['caa', failed('denied', undefined, kind('caa')), false, true],
  ['caa as a failed challenge', failed('challengeFailed', undefined, kind('caa')), false, true],
  ['rejectedIdentifier', failed('denied', undefined, kind('rejectedIdentifier')), false, true],
  ['unsupportedIdentifier', failed('denied', undefined, kind('unsupportedIdentifier')), false, true],
  ['badPublicKey', failed('badCsr', undefined, kind('badPublicKey')), false, true],
  ['an order that ends in serverInternal', failed('denied', undefined, kind('serverInternal')), false, true],
  ['badCSR', failed('badCsr', undefined, kind('badCSR')), false, false],
  ['names that no solver can prove', failed('denied'), false, false],
  ['a lost order', failed('gone'), false, false],
  ['an answer that no RFC has', failed('unexpected'), false, false],
  ['a bug', new TypeError('x'), true, false],
  ...['connection', 'dns', 'unauthorized', 'incorrectResponse', 'tls'].map(
    name =>
      [
        `a challenge that failed by ${name}`,
        failed('challengeFailed', undefined, kind(name)),
        false,
        false,
      ] as const,
  ),
] as const)
  test(`goesElsewhere() is ${elsewhere} for ${what}`, () => {
    assert.equal(goesElsewhere(error, 100, unreachable), elsewhere);
  });

test('goesElsewhere() wants each of several failed challenges to be a judgement of this CA', () => {
  const compound = (...names: string[]) => ({ ...kind('compound'), subproblems: names.map(kind) });
  assert.equal(goesElsewhere(failed('challengeFailed', undefined, compound('caa', 'caa')), 0, false), true);
  assert.equal(goesElsewhere(failed('challengeFailed', undefined, compound('caa', 'dns')), 0, false), false);
  assert.equal(goesElsewhere(failed('challengeFailed', undefined, compound('caa')), 0, false), true);
  assert.equal(goesElsewhere(failed('challengeFailed', undefined, compound()), 0, false), false);
});

const until = { patience: 100, lastTry: 1_000 };
const refusal = (account: string, code: IssuanceErrorCode, at?: number): Refusal => ({
  account,
  code,
  detail: `${account} says no`,
  until: at,
});

test('concludeRound() begins again when the first CA that is away may be back, and keeps what stays refused', () => {
  const [away, later, never] = [
    refusal('a', 'unavailable', 500),
    refusal('b', 'rateLimited', 90),
    refusal('c', 'denied'),
  ];
  assert.deepEqual(concludeRound([never, away, later], until), { do: 'again', at: 90, kept: [never] });
});

test('concludeRound() waits for no limit beyond the patience, and for no CA beyond the last try', () => {
  const conclusion = concludeRound(
    [refusal('a', 'unavailable', 1_001), refusal('b', 'rateLimited', 101)],
    until,
  );
  assert.ok(conclusion.do === 'fail');
  const { code, message, retryAfter } = conclusion.error;
  assert.deepEqual([code, message, retryAfter], ['unavailable', 'a says no; account b: b says no', 101]);
});

test('concludeRound() waits for a limit to the end of the patience, and for a CA until the last try', () => {
  for (const [code, at] of [
    ['rateLimited', until.patience],
    ['unavailable', until.lastTry],
  ] as const)
    assert.deepEqual(concludeRound([refusal('a', code, at)], until), { do: 'again', at, kept: [] });
  assert.equal(concludeRound([refusal('a', 'unavailable')], until).do, 'fail');
  assert.equal(concludeRound([refusal('a', 'denied', 50)], until).do, 'fail');
});

test('refusedByAll() needs a refusal', () => {
  assert.throws(() => refusedByAll([]), /no account has refused/);
});

test('concludeRound() fails with the words of a single account as they are', () => {
  const conclusion = concludeRound([{ ...refusal('a', 'denied'), problem: kind('caa') }], until);
  assert.ok(conclusion.do === 'fail');
  const { code, message, problem, retryAfter } = conclusion.error;
  assert.deepEqual([code, message, problem, retryAfter], ['denied', 'a says no', kind('caa'), undefined]);
});

test('concludeRound() leaves a profile away where another CA of the block offers it, and not where none does', () => {
  const without = (account: string): Refusal => ({
    ...refusal(account, 'misconfigured'),
    withoutProfile: true,
  });
  const denied = refusal('b', 'denied');
  assert.deepEqual(concludeRound([without('a'), denied], until), { do: 'withoutProfile', kept: [denied] });
  assert.equal(concludeRound([without('a'), without('b')], until).do, 'fail');
});

const policy = {
  mostFailures: Number.POSITIVE_INFINITY,
  longestWait: Number.POSITIVE_INFINITY,
  longestOrder: HOUR,
  mostNewOrders: 5,
};
const order = { begun: 0, failures: 0, lostOrders: 0 };

for (const code of [
  'badCsr',
  'denied',
  'challengeFailed',
  'rateLimited',
  'misconfigured',
  'unexpected',
] as const)
  test(`retryTime() leaves ${code} to the client at once`, () => {
    assert.equal(retryTime(failed(code), order, 0, policy), undefined);
  });

test('retryTime() does not try a bug again', () => {
  assert.equal(retryTime(new TypeError('x'), order, 0, policy), undefined);
});

test('retryTime() comes back to a CA that is away, at a random time that doubles up to a minute', () => {
  for (const [failures, about] of [
    [0, 1_000],
    [1, 2_000],
    [5, 32_000],
    [6, 60_000],
    [5_000, 60_000],
  ] as const) {
    const retry = retryTime(failed('unavailable'), { ...order, failures }, 500, policy);
    assert.ok(retry && !retry.withNewOrder);
    const wait = retry.at - 500;
    assert.ok(wait >= about * 0.75 && wait <= about * 1.25, `${failures}: ${wait}`);
  }
});

test('retryTime() counts lost orders for the backoff, as a new order ends the failures in a row', () => {
  const retry = retryTime(failed('gone'), { begun: 0, failures: 0, lostOrders: 4 }, 0, policy);
  assert.ok(retry && retry.at >= 12_000 && retry.at <= 20_000, `${retry?.at}`);
});

test('retryTime() does not come back before the CA wants it', () => {
  assert.deepEqual(retryTime(failed('unavailable', 200_000), order, 0, policy), {
    at: 200_000,
    withNewOrder: false,
  });
});

test('retryTime() gives an order up that would be older than an hour', () => {
  assert.equal(retryTime(failed('unavailable'), order, HOUR, policy), undefined);
  assert.equal(retryTime(failed('unavailable', HOUR + 1), order, 0, policy), undefined);
  assert.equal(retryTime(failed('unavailable', HOUR), order, 0, policy)?.at, HOUR);
});

test('retryTime() makes a new order where the CA has lost one, as often as the policy says', () => {
  const retries = [0, 4, 5].map(lostOrders => retryTime(failed('gone'), { ...order, lostOrders }, 0, policy));
  assert.deepEqual(
    retries.map(retry => retry?.withNewOrder),
    [true, true, undefined],
  );
});

test('retryTime() keeps to the most failures in a row and to the longest wait of a policy', () => {
  const patient = { ...policy, mostFailures: 4, longestWait: 60_000 };
  assert.ok(retryTime(failed('unavailable'), { ...order, failures: 3 }, 0, patient));
  assert.equal(retryTime(failed('unavailable'), { ...order, failures: 4 }, 0, patient), undefined);
  const now = 10 * HOUR;
  const begun = { ...order, begun: now };
  assert.equal(retryTime(failed('unavailable', now + 60_000), begun, now, patient)?.at, now + 60_000);
  assert.equal(retryTime(failed('unavailable', now + 60_001), begun, now, patient), undefined);
});

test('retryTime() counts the hour from the turn of the order, and from now where that has not come', () => {
  const now = 10 * HOUR;
  const at = (begun: number | undefined, after: number) =>
    retryTime(failed('unavailable', now + after), { ...order, begun }, now, policy)?.at;
  assert.deepEqual([at(undefined, HOUR), at(undefined, HOUR + 1)], [now + HOUR, undefined]);
  assert.deepEqual([at(now - HOUR + 5_000, 5_000), at(now - HOUR + 5_000, 5_001)], [now + 5_000, undefined]);
});

test('an order that somebody sits beside is tried for a minute at a time, with four failures and one new order', () => {
  const retry = (code: IssuanceErrorCode, more: Partial<typeof order>, after = 0) =>
    retryTime(failed(code, HOUR + after), { ...order, begun: HOUR, ...more }, HOUR, SHORT_PATIENCE) !==
    undefined;
  assert.deepEqual(
    [retry('unavailable', { failures: 3 }), retry('unavailable', { failures: 4 })],
    [true, false],
  );
  assert.deepEqual([retry('unavailable', {}, 60_000), retry('unavailable', {}, 60_001)], [true, false]);
  assert.deepEqual([retry('gone', {}), retry('gone', { lostOrders: 1 })], [true, false]);
  assert.deepEqual(
    [retry('unavailable', { begun: 10_000 }), retry('unavailable', { begun: 0 })],
    [true, false],
  );
});
