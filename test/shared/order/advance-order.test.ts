import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { advanceOrder, withdrawChallenges } from '../../../shared/order/advance-order.ts';
import { newOrderState } from '../../../shared/order/order-state.ts';
import type { Solver } from '../../../shared/solver/solver.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { driveOrder, partsFor, taskFor } from './drive-order.ts';
import { requestsOf, type ScriptedCa, scriptCa } from './scripted-ca.ts';

const names = ['a.example', 'b.example', 'c.example'];
const fault = { type: 'urn:ietf:params:acme:error:dns', detail: 'NXDOMAIN' };

test('advanceOrder() needs seven requests for one name', async () => {
  const ca = scriptCa();
  const { chain, state } = await driveOrder(partsFor(ca), taskFor('a.example'));
  assert.equal(chain, 'the chain');
  assert.deepEqual(requestsOf(ca), [
    ...['newOrder', 'getAuthorization a.example', 'initiate a.example', 'getOrder'],
    ...['finalize', 'getOrder', 'download'],
  ]);
  assert.deepEqual(state.challenges, []);
});

test('advanceOrder() needs two more requests for each further name', async () => {
  const ca = scriptCa();
  await driveOrder(partsFor(ca), taskFor(...names));
  assert.equal(requestsOf(ca).length, 11);
});

test('advanceOrder() needs four requests where all names are valid already, and no solver', async () => {
  const ca = scriptCa({ valid: names });
  await driveOrder({ ...partsFor(ca), solvers: [] }, taskFor(...names));
  assert.deepEqual(ca.calls, ['newOrder', 'finalize', 'getOrder', 'download']);
});

test('advanceOrder() presents all before it initiates any, and withdraws all before it finalizes', async () => {
  const ca = scriptCa();
  await driveOrder(partsFor(ca), taskFor('a.example', 'b.example'));
  assert.deepEqual(ca.calls, [
    ...['newOrder', 'getAuthorization a.example', 'getAuthorization b.example'],
    ...['present a.example', 'present b.example', 'initiate a.example', 'initiate b.example', 'getOrder'],
    ...['withdraw a.example', 'withdraw b.example', 'finalize', 'getOrder', 'download'],
  ]);
  assert.equal(ca.presented.size, 0);
});

test('advanceOrder() leaves names alone that are valid already', async () => {
  const ca = scriptCa({ valid: ['a.example', 'c.example'] });
  await driveOrder(partsFor(ca), taskFor(...names));
  const touched = ca.calls.filter(call => /^(present|initiate|withdraw) /.test(call));
  assert.deepEqual(touched, ['present b.example', 'initiate b.example', 'withdraw b.example']);
});

/** The responses can be seen once they were asked for so often. */
function slowToShow(ca: ScriptedCa, lookedInVain: number, deadline: number): Solver {
  let looks = 0;
  const missing = async () => {
    ca.calls.push('look');
    return looks++ < lookedInVain ? 'ns2.example does not show it' : undefined;
  };
  return { ...ca.solver, propagation: { deadline, missing } };
}

test('advanceOrder() tells the CA once the responses can be seen, and asks it nothing meanwhile', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca), solvers: [slowToShow(ca, 3, 60_000)] };
  const { waits } = await driveOrder(parts, taskFor('a.example'));
  assert.deepEqual(ca.calls.slice(0, 8), [
    ...['newOrder', 'getAuthorization a.example', 'present a.example', 'look', 'look', 'look', 'look'],
    'initiate a.example',
  ]);
  assert.deepEqual(waits.slice(0, 3), [250, 500, 1_000]);
  assert.equal(requestsOf(ca).filter(call => call !== 'look').length, 7);
});

test('advanceOrder() goes on looking after a restart, and presents nothing again', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca), solvers: [slowToShow(ca, 3, 60_000)] };
  await driveOrder(parts, taskFor('a.example'), { fate: step => (step > 2 ? 'restarts' : 'lives') });
  assert.equal(ca.calls.filter(call => call === 'present a.example').length, 1);
  assert.equal(ca.calls.filter(call => call === 'initiate a.example').length, 1);
});

test('advanceOrder() fails, with what is missing, when the responses cannot be seen in time', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca), solvers: [slowToShow(ca, 100, 10_000)] };
  await assert.rejects(driveOrder(parts, taskFor('a.example')), {
    code: 'challengeFailed',
    message: /^a\.example: ns2\.example does not show it, after 1\d s$/,
  });
  assert.ok(!ca.calls.includes('initiate a.example'));
});

test('advanceOrder() answers each name by the first solver that can prove it', async () => {
  const ca = scriptCa();
  const dns: Solver = {
    ...{ name: 'dns', challengeType: 'dns-01', canProve: () => true },
    present: async ({ identifier }) => void ca.calls.push(`dns ${identifier.value}`),
    withdraw: async ({ identifier }) => void ca.calls.push(`dns off ${identifier.value}`),
  };
  await driveOrder({ ...partsFor(ca), solvers: [ca.solver, dns] }, taskFor('a.example', '*.a.example'));
  const acts = ca.calls.filter(call => /^(present|withdraw|dns)/.test(call));
  assert.deepEqual(acts, [
    'present a.example',
    'dns *.a.example',
    'withdraw a.example',
    'dns off *.a.example',
  ]);
});

for (const refusal of ['alreadyReplaced', 'unauthorized', 'malformed', 'serverInternal'])
  test(`advanceOrder() names the certificate that is replaced, and leaves it away once the CA has said ${refusal}`, async () => {
    const ca = scriptCa();
    const replaced: (string | undefined)[] = [];
    const { newOrder } = ca;
    ca.newOrder = async (identifiers, options) => {
      replaced.push(options?.replaces);
      return newOrder(identifiers, options);
    };
    const type = `urn:ietf:params:acme:error:${refusal}`;
    ca.failNext.set('newOrder', new IssuanceError('unexpected', 'replaced', { problem: { type } }));
    await driveOrder(partsFor(ca), { ...taskFor('a.example'), replaces: 'aki.serial' });
    assert.deepEqual(replaced, ['aki.serial', undefined]);
    assert.equal(ca.calls.filter(call => call === 'newOrder').length, 2);
  });

test("advanceOrder() gives the order's URL away before it touches a challenge", async () => {
  const ca = scriptCa();
  const step = await advanceOrder(partsFor(ca), taskFor('a.example'), newOrderState());
  assert.equal(step.next, 'continue');
  assert.equal(step.state.url, 'https://ca.example/order/1');
  assert.deepEqual(ca.calls, ['newOrder']);
});

test('advanceOrder() refuses a wildcard for http-01 before it makes an order', async () => {
  const ca = scriptCa();
  const advancing = advanceOrder(partsFor(ca), taskFor('a.example', '*.b.example'), newOrderState());
  await assert.rejects(advancing, {
    code: 'denied',
    message: 'not possible for *.b.example: http-01 of verification "http" cannot prove it',
  });
  assert.deepEqual(ca.calls, []);
});

test('advanceOrder() says what the CA offers where no challenge fits, and presents nothing', async () => {
  const ca = scriptCa({ offers: ['dns-01'] });
  const driving = driveOrder(partsFor(ca), taskFor('a.example'));
  await assert.rejects(driving, {
    code: 'misconfigured',
    message: /the CA offers dns-01, but verification "http"/,
  });
  assert.deepEqual(ca.calls, ['newOrder', 'getAuthorization a.example']);
});

test('advanceOrder() keeps asking, ever more slowly, while the CA validates and while it issues', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  ca.moving = false;
  const turn = parts.clock.turn;
  parts.clock.turn = ms => {
    turn(ms);
    ca.moving = ca.calls.filter(call => call === 'getOrder').length % 4 === 3;
  };
  const { waits } = await driveOrder(parts, taskFor('a.example'));
  assert.deepEqual(waits, [250, 250, 500, 1000, 250, 250, 500, 1000]);
});

test('advanceOrder() comes back when the CA said', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca, turnedClock(1_000));
  const getOrder = ca.getOrder;
  ca.getOrder = async url => ({ ...(await getOrder(url)), retryAfter: 9_000 });
  const task = taskFor('a.example');
  const state = { ...newOrderState(), url: 'https://ca.example/order/1', initiated: true };
  await ca.newOrder(task.identifiers);
  assert.deepEqual(await advanceOrder(parts, task, state), {
    ...{ next: 'wait', until: 9_000 },
    state: { ...state, polls: 1 },
  });
});

test('advanceOrder() waits where a ready order turns out not to be, ever longer, and then finalizes it', async () => {
  const ca = scriptCa({ valid: ['a.example'] });
  const problem = { type: 'urn:ietf:params:acme:error:orderNotReady' };
  const finalize = ca.finalize;
  let refusals = 3;
  ca.finalize = async (order, csr) => {
    if (refusals-- > 0) throw new IssuanceError('unexpected', 'not ready', { problem });
    return finalize(order, csr);
  };
  const { chain, waits } = await driveOrder(partsFor(ca), taskFor('a.example'));
  assert.equal(chain, 'the chain');
  assert.deepEqual(waits, [250, 250, 500, 250]);
});

test('advanceOrder() names each failed challenge of an invalid order', async () => {
  const ca = scriptCa({ faults: { 'a.example': fault, 'c.example': fault } });
  await assert.rejects(driveOrder(partsFor(ca), taskFor(...names)), {
    code: 'challengeFailed',
    message: 'a.example: NXDOMAIN; c.example: NXDOMAIN',
  });
});

test('withdrawChallenges() takes back what was presented, also twice', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const task = taskFor(...names);
  let step = await advanceOrder(parts, task, newOrderState());
  for (const _ of ['choose', 'start']) step = await advanceOrder(parts, task, step.state, ca.order);
  assert.equal(ca.presented.size, 3);
  const withdrawn = await withdrawChallenges(parts, step.state);
  assert.deepEqual([ca.presented.size, withdrawn.challenges], [0, []]);
  await withdrawChallenges(parts, step.state);
});

test('advanceOrder() refuses a valid order without a certificate', async () => {
  const ca = scriptCa();
  await ca.newOrder([]);
  ca.order.status = 'valid';
  const state = { ...newOrderState(), url: ca.order.url };
  await assert.rejects(advanceOrder(partsFor(ca), taskFor('a.example'), state), { code: 'unexpected' });
});
