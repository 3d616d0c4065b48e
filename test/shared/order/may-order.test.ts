import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Directory } from '../../../shared/acme/objects.ts';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/basics.ts';
import type { Claim, Shortage } from '../../../shared/limits/budget.ts';
import { type Limit, StandingLimitError } from '../../../shared/limits/limits.ts';
import { mayOrder, rememberFailure, toPausedEvent } from '../../../shared/order/acts.ts';

const identifiers = [{ type: 'dns' as const, value: 'a.example' }];
const claim: Claim = { id: 'job', what: 'what', rank: 0, patience: 10 };
const never = new AbortController().signal;

type Ground = { shortage?: Shortage; renewalInfo?: boolean; again?: number };

/** A CA whose limits say what a test wants, and what they were asked. */
function caOf({ shortage, renewalInfo, again }: Ground) {
  const calls: string[] = [];
  const urls = renewalInfo ? { renewalInfo: 'https://ca.example/renewal-info' } : {};
  return {
    calls,
    directory: async () => ({ urls, externalAccountRequired: false, caaIdentities: [] }) satisfies Directory,
    limits: {
      park: async (): Promise<Limit[]> => {
        calls.push('park');
        return [{ key: 'account/a', until: 5, detail: 'x', names: [] }];
      },
      recordFailure: async () => {
        calls.push('record failure');
        return again;
      },
      recordSuccess: async () => {},
      standingAgainst: async () => undefined,
      keysAgainst: () => [],
      findStanding: () => undefined,
      failuresKey: () => '',
    },
    budget: {
      takeOrder: async () => {
        calls.push('take');
        return shortage;
      },
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

test('mayOrder() counts an order, once for all tries to make it', async () => {
  const ca = caOf({});
  const first = await mayOrder(ca, undefined, identifiers, { renews: false, turn: undefined }, claim, never);
  assert.deepEqual(first, { may: true, turn: 'counted' });
  const next = await mayOrder(ca, undefined, identifiers, { renews: false, turn: 'counted' }, claim, never);
  assert.deepEqual([next, ca.calls], [{ may: true, turn: 'counted' }, ['take']]);
});

test('mayOrder() exempts a renewal only where the CA has renewal information', async () => {
  const renewal = { renews: true, turn: undefined };
  const exempting = caOf({ renewalInfo: true });
  assert.deepEqual(await mayOrder(exempting, undefined, identifiers, renewal, claim, never), {
    may: true,
    turn: 'exempt',
  });
  assert.deepEqual(exempting.calls, []);
  const other = caOf({});
  assert.deepEqual(await mayOrder(other, undefined, identifiers, renewal, claim, never), {
    may: true,
    turn: 'counted',
  });
});

test('mayOrder() lets a limit that stands go first, also before what is exempt or counted already', async () => {
  const standing = new StandingLimitError('rateLimited', 'too many', { retryAfter: 9 });
  const ca = caOf({ renewalInfo: true });
  for (const turn of [undefined, 'counted', 'exempt'] as const) {
    const permission = await mayOrder(ca, standing, identifiers, { renews: true, turn }, claim, never);
    assert.deepEqual(permission, { may: false, limit: standing, waits: false });
  }
  assert.deepEqual(ca.calls, []);
});

test('mayOrder() says which limit is used up and until when, and whether the claim waits for it', async () => {
  for (const waits of [true, false]) {
    const ca = caOf({ shortage: { key: 'account/a', until: 7, waits } });
    const permission = await mayOrder(
      ca,
      undefined,
      identifiers,
      { renews: false, turn: undefined },
      claim,
      never,
    );
    assert.ok(!permission.may);
    const { limit } = permission;
    assert.deepEqual([permission.waits, limit.code, limit.retryAfter], [waits, 'rateLimited', 7]);
    assert.equal(limit.message, "the CA's limit for account/a is used up; it was not asked");
  }
});

const problem = {
  type: 'urn:ietf:params:acme:error:compound',
  subproblems: ['a.example', 'b.example'].map(value => ({
    type: 'urn:ietf:params:acme:error:dns',
    identifier: { type: 'dns', value },
  })),
};

async function remember(ca: ReturnType<typeof caOf>, error: unknown, unanswered = false) {
  const limits: string[] = [];
  const known = await rememberFailure(ca, identifiers, error, unanswered, async ({ key }) => {
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
  assert.deepEqual(ca.calls, ['spend a.example,b.example', 'record failure']);
  assert.ok(known instanceof IssuanceError);
  assert.deepEqual([known.code, known.retryAfter, known.problem], ['challengeFailed', 77, problem]);
});

test('rememberFailure() counts nothing where it was not the CA that looked', async () => {
  const ca = caOf({ again: 77 });
  const own = failed('challengeFailed');
  assert.deepEqual([await remember(ca, own), ca.calls], [{ known: own, limits: [] }, []]);
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
  assert.deepEqual(ca.calls, ['spend a.example', 'record failure']);
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
