import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Directory } from '../../../shared/acme/directory.ts';
import { type Claim, mayOrder, type Shortage } from '../../../shared/limits/budget.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';

const identifiers = [{ type: 'dns' as const, value: 'a.example' }];
const claim: Claim = { id: 'job', what: 'what', rank: 0, patience: 10 };
const never = new AbortController().signal;

/** A CA whose budget says what a test wants, and what it was asked. */
function caOf({ shortage, renewalInfo }: { shortage?: Shortage; renewalInfo?: boolean }) {
  const calls: string[] = [];
  const urls = renewalInfo ? { renewalInfo: 'https://ca.example/renewal-info' } : {};
  return {
    calls,
    directory: async () => ({ urls, externalAccountRequired: false, caaIdentities: [] }) satisfies Directory,
    budget: {
      takeOrder: async () => {
        calls.push('take');
        return shortage;
      },
      countsCertificates: true,
      spendCertificate: async () => {},
      spendFailures: async () => {},
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
  for (const [waits, key, message] of [
    [true, 'account/a', "the CA's limit for account/a is used up; it was not asked"],
    [
      false,
      'name/a.example.org@ca.example/v2',
      "the CA's limit for name/a.example.org@ca.example/v2 is used up; it was not asked " +
        '(the CA counts failures of a.example.org for everybody who orders it here)',
    ],
    [
      true,
      'slow/web',
      'auth block web is slowed down to an order a minute until one succeeds, as 20 of its orders failed ' +
        'validation within 10 minutes and none succeeded',
    ],
    [
      false,
      'share/web@a',
      "the share of auth block web of the CA's limit for account/a is used up; it was not asked",
    ],
    [
      false,
      'share/*@a',
      "what the shares of other auth blocks leave of the CA's limit for account/a is used up; it was not asked",
    ],
    [
      true,
      'share/a/b@c/domain/example.org@ca.example/v2',
      "the share of auth block a/b@c of the CA's limit for domain/example.org@ca.example/v2 is used up; " +
        'it was not asked',
    ],
  ] as const) {
    const ca = caOf({ shortage: { key, until: 7, waits } });
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
    assert.equal(limit.message, message);
  }
});
