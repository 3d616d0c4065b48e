import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Directory } from '../../shared/acme/directory.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { openBreaker } from '../../shared/ca/breaker.ts';
import { openCaOf } from '../../shared/ca/open-ca.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import type { Limit } from '../../shared/limits/limits.ts';
import { listLimits } from '../../shared/limits/list-limits.ts';
import { openLimits } from '../../shared/limits/open-limits.ts';
import { toPausedEvent } from '../../shared/order/remember-failure.ts';
import { openGate } from '../../shared/shaman/gate.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const hour = 3_600_000;
const { newStore } = await startOwnRedis();
const never = new AbortController().signal;
const first = { renews: false, turn: undefined };
const renewal = { renews: true, turn: undefined };
const rateLimited = ({ code }: IssuanceError) => code === 'rateLimited';

/**
 * Gates of a profile at a CA that allows two orders an hour, and one certificate an hour for a registered
 * domain.
 */
function openGround({ renewalInfo = true } = {}) {
  const store = newStore();
  const clock = turnedClock(Date.now());
  const rates = { orders: { count: 2, period: hour }, certificatesPerDomain: { count: 1, period: hour } };
  const scope = { account: 'default', ca: 'ca.example' };
  const guards = {
    limits: openLimits(store, scope, clock),
    budget: openBudget(store, scope, rates, clock),
    breaker: openBreaker(store, scope.ca),
  };
  const at = { name: 'default', directoryUrl: 'https://ca.example/directory', ca: undefined };
  const directory: Directory = {
    urls: renewalInfo ? { renewalInfo: 'https://ca.example/renewal-info' } : {},
    externalAccountRequired: false,
    caaIdentities: [],
  };
  const openAccount = async () => ({ keyPem: '', url: '' });
  const ca = { ...openCaOf(at, openAccount, clock, guards), directory: async () => directory };
  const told: Limit[] = [];
  const gateOf = (name: string) => {
    const onLimit = async (limit: Limit) => void told.push(limit);
    return openGate(
      ca,
      [{ type: 'dns', value: name }],
      { claimant: 'profile/web', solvers: () => [] },
      onLimit,
      never,
    );
  };
  return { store, clock, told, gateOf };
}

suite('the gate of a shaman profile', () => {
  test("counts orders for the CA's limits, over all runs, and says when there is room again", async () => {
    const { gateOf, clock } = openGround();
    assert.equal(await gateOf('a.example').before(first), 'counted');
    await gateOf('b.example').before(first);
    const short = await gateOf('c.example')
      .before(first)
      .catch((error: unknown) => error);
    assert.ok(short instanceof IssuanceError && rateLimited(short));
    assert.equal(short.retryAfter, clock.now() + hour / 2);
    clock.turn(hour / 2);
    await gateOf('c.example').before(first);
  });

  test('counts an order once, however often its making is tried', async () => {
    const { gateOf } = openGround();
    const gate = gateOf('a.example');
    const turn = await gate.before(first);
    for (let time = 0; time < 5; time++) assert.equal(await gate.before({ renews: false, turn }), 'counted');
    await gateOf('b.example').before(first);
  });

  test('counts certificates for the registered domain once they are issued, and gives back what failed', async () => {
    const { gateOf, clock } = openGround();
    const gate = gateOf('www.a.example');
    await gate.before(first);
    await gate.failed(new Error('it failed'));
    await gate.gaveUp();
    await gate.issued(await gate.before(first));
    clock.turn(hour / 2);
    await assert.rejects(gateOf('mail.a.example').before(first), /domain\/a\.example@ca\.example is used up/);
  });

  test('lets a renewal that names what it replaces pass, as the CA counts it for nothing', async () => {
    const { gateOf } = openGround();
    const gate = gateOf('www.a.example');
    for (let time = 0; time < 5; time++) {
      const turn = await gate.before(renewal);
      assert.equal(turn, 'exempt');
      await gate.issued(turn);
    }
    assert.equal(await gate.before(first), 'counted');
  });

  test('counts a renewal at a CA without renewal information, and one that the CA takes for none', async () => {
    const without = openGround({ renewalInfo: false });
    assert.equal(await without.gateOf('a.example').before(renewal), 'counted');
    const { gateOf } = openGround();
    const gate = gateOf('a.example');
    assert.equal(await gate.before(renewal), 'exempt');
    assert.equal(await gate.before(first), 'counted');
    await gateOf('b.example').before(first);
    await assert.rejects(gateOf('c.example').before(first), rateLimited);
  });

  test('remembers for the fleet what the CA refused, and tells what only a person can end', async () => {
    const { gateOf, store, clock, told } = openGround();
    const problem = {
      type: 'urn:ietf:params:acme:error:rateLimited',
      detail: 'a.example is paused, see https://ca.example/portal',
    };
    const paused = new IssuanceError('rateLimited', 'paused', { problem });
    assert.equal(await gateOf('a.example').failed(paused), paused);
    await assert.rejects(gateOf('a.example').before(first), rateLimited);
    assert.equal((await listLimits(store, clock)).length, 1);
    const [limit] = told;
    assert.ok(limit);
    const { kind, names, detail } = toPausedEvent(limit) ?? {};
    assert.deepEqual([told.length, kind, names], [1, 'account-paused', ['a.example']]);
    assert.match(
      detail ?? '',
      /\(once that is mended: quarry limits clear name\/a\.example@ca\.example FILE\)$/,
    );
  });

  test('remembers a failed validation, so that nobody repeats it at once for ever', async () => {
    const { gateOf } = openGround();
    const problem = { type: 'urn:ietf:params:acme:error:unauthorized', detail: 'not found' };
    const failed = new IssuanceError('challengeFailed', 'a.example: not found', { problem });
    const gate = gateOf('a.example');
    for (let time = 0; time < 3; time++) await gate.failed(failed);
    const fourth = (await gate.failed(failed)) as IssuanceError;
    assert.ok(fourth.retryAfter !== undefined);
    await assert.rejects(gate.before(first), ({ code }: IssuanceError) => code === 'challengeFailed');
  });
});
