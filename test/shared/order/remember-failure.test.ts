import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';
import { type Limit, type Orderer, StandingLimitError } from '../../../shared/limits/limits.ts';
import { rememberFailure, toPausedEvent } from '../../../shared/order/remember-failure.ts';

const identifiers = [{ type: 'dns' as const, value: 'a.example' }];

/** A CA whose names may be tried `again` at a time, and what its limits were told. */
function caOf({ again, slowed }: { again?: number; slowed?: Limit }) {
  const calls: string[] = [];
  return {
    calls,
    limits: {
      standingAgainst: async () => undefined,
      keysAgainst: () => [],
      blockedKey: () => '',
      findStanding: () => undefined,
      failureKeys: () => [],
      slowKey: () => '',
      countFailedOrder: async (_: unknown, { block }: Orderer): Promise<Limit | undefined> => {
        calls.push(`count ${block}`);
        return slowed;
      },
      failedOrders: async () => 0,
      findKept: () => undefined,
      csrKey: () => '',
      rememberCsr: async () => {},
      park: async (): Promise<Limit[]> => {
        calls.push('park');
        return [{ key: 'account/a', until: 5, detail: 'x', names: [] }];
      },
      recordFailure: async () => {
        calls.push('record failure');
        return again;
      },
      recordSuccess: async () => {},
    },
    budget: {
      takeOrder: async () => undefined,
      countsCertificates: true,
      spendCertificate: async () => {},
      async spendFailures(names: string[]) {
        await setImmediate();
        calls.push(`spend ${names.join()}`);
      },
      leave: async () => {},
      ordersLeft: async () => undefined,
    },
  };
}

const problem = {
  type: 'urn:ietf:params:acme:error:compound',
  subproblems: ['a.example', 'b.example'].map(value => ({
    type: 'urn:ietf:params:acme:error:dns',
    identifier: { type: 'dns', value },
  })),
};

async function remember(ca: ReturnType<typeof caOf>, error: unknown, unanswered = false) {
  const limits: string[] = [];
  const orderer = { block: 'web', proof: 'http:http-01' };
  const known = await rememberFailure(ca, identifiers, orderer, error, unanswered, async ({ key }) => {
    await setImmediate();
    limits.push(key);
  });
  return { known, limits };
}

const failed = (code: IssuanceErrorCode, options = {}) => new IssuanceError(code, 'x', options);

test('rememberFailure() parks what the CA limits, and hands each limit on', async () => {
  for (const error of [failed('rateLimited'), failed('unavailable', { retryAfter: 5 })]) {
    const ca = caOf({});
    assert.deepEqual(await remember(ca, error), { known: error, limits: ['account/a'] });
    assert.deepEqual(ca.calls, ['park']);
  }
});

test('rememberFailure() passes over what is no word of the CA about its limits', async () => {
  const standing = new StandingLimitError('rateLimited', 'x', {});
  for (const error of [failed('unavailable'), failed('denied'), standing, new TypeError('x')]) {
    const ca = caOf({});
    assert.deepEqual([await remember(ca, error), ca.calls], [{ known: error, limits: [] }, []]);
  }
});

test('rememberFailure() counts the names that failed, and says when the same may be tried again', async () => {
  const ca = caOf({ again: 77 });
  const { known } = await remember(ca, failed('challengeFailed', { problem }));
  assert.deepEqual(ca.calls, ['count web', 'spend a.example,b.example', 'record failure']);
  assert.ok(known instanceof IssuanceError);
  assert.deepEqual([known.code, known.retryAfter, known.problem], ['challengeFailed', 77, problem]);
});

test('rememberFailure() tells of the auth block that a failure has slowed down', async () => {
  const slowed = { key: 'slow/web', until: 5, detail: 'x', names: [] };
  assert.deepEqual((await remember(caOf({ slowed }), failed('challengeFailed'))).limits, ['slow/web']);
});

test('rememberFailure() counts an order for its block alone where it was not the CA that looked', async () => {
  const ca = caOf({ again: 77 });
  const own = failed('challengeFailed');
  assert.deepEqual([await remember(ca, own), ca.calls], [{ known: own, limits: [] }, ['count web']]);
});

test('rememberFailure() takes an order for lost where Redis was away while the CA looked, and blames no name', async () => {
  const ca = caOf({});
  const { known } = await remember(ca, failed('challengeFailed', { problem }), true);
  assert.ok(known instanceof IssuanceError);
  assert.equal(known.code, 'gone');
  assert.match(known.message, /while Redis was away: x/);
  assert.deepEqual(ca.calls, ['spend a.example,b.example']);
});

test('rememberFailure() counts the one name of a failed challenge', async () => {
  const ca = caOf({});
  const only = { type: 'urn:ietf:params:acme:error:dns', identifier: { type: 'dns', value: 'a.example' } };
  await remember(ca, failed('challengeFailed', { problem: only }));
  assert.deepEqual(ca.calls, ['count web', 'spend a.example', 'record failure']);
});

test('toPausedEvent() is for what only a person can end, and is about the name that is paused, or all names', () => {
  const limit = { detail: 'paused', names: ['a.example', 'b.example'] };
  const said = (key: string) => `paused (once that is mended: quarry limits clear ${key} FILE)`;
  for (const [key, names] of [
    ['name/b.example@ca.example', ['b.example']],
    ['account/default', limit.names],
    ['domain/name/b.example@ca.example', limit.names],
  ] as const) {
    const matter = { kind: 'account-paused', subject: key, names, detail: said(key) };
    assert.deepEqual(toPausedEvent({ ...limit, key }), matter);
    assert.equal(toPausedEvent({ ...limit, key, until: 0 }), undefined);
  }
});
