import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advanceOrder, beforeHandOver, withdrawChallenges } from '../../../shared/order/advance-order.ts';
import { newOrderState } from '../../../shared/order/order-state.ts';
import { driveOrder, type Fate, partsFor, taskFor } from './drive-order.ts';
import { requestsOf, scriptCa } from './scripted-ca.ts';

const task = taskFor('a.example', 'b.example');
const undisturbed = await driveOrder(partsFor(scriptCa()), task);

const countOf = (calls: string[], name: string) => calls.filter(call => call === name).length;

/** What must hold of every order that is issued, however often its workers died. */
async function assertNothingRepeated(fate: Fate, newOrders = 1) {
  const ca = scriptCa();
  const { chain, state } = await driveOrder(partsFor(ca), task, { fate });
  assert.equal(chain, 'the chain');
  assert.equal(countOf(ca.calls, 'newOrder'), newOrders);
  assert.equal(countOf(ca.calls, 'finalize'), 1);
  for (const name of ['a.example', 'b.example']) assert.equal(countOf(ca.calls, `initiate ${name}`), 1);
  assert.deepEqual([ca.presented.size, state.challenges], [0, []]);
}

test('advanceOrder() resumes after a restart at every second step without a second newOrder', async () => {
  for (const odd of [0, 1]) await assertNothingRepeated(step => (step % 2 === odd ? 'restarts' : 'lives'));
});

for (let at = 0; at < undisturbed.steps; at++) {
  test(`advanceOrder() repeats nothing after a restart at step ${at + 1} of ${undisturbed.steps}`, async () => {
    await assertNothingRepeated(step => (step === at ? 'restarts' : 'lives'));
  });

  // That an order whose making was not saved is made again cannot be helped; the CA hands out the same one.
  test(`advanceOrder() repeats nothing after a death before step ${at + 1} of ${undisturbed.steps} was saved`, async () => {
    await assertNothingRepeated(step => (step === at ? 'dies before it saves' : 'lives'), at === 0 ? 2 : 1);
  });
}

test('advanceOrder() initiates only what the CA is not validating already', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  let step = await advanceOrder(parts, task, newOrderState());
  step = await advanceOrder(parts, task, step.state, ca.order);
  ca.moving = false; // the CA takes its time
  await ca.solver.present({ ...task.identifiers[0], ...tokenOf(ca, 0) } as never, parts.signal);
  await ca.initiateChallenge(ca.authorizations[0]?.challenges[1]?.url ?? ''); // … and the worker died here
  ca.calls.length = 0;

  step = await advanceOrder(parts, task, step.state);
  assert.equal(step.next, 'continue');
  const { seen } = step as { seen?: typeof ca.order };
  step = await advanceOrder(parts, task, step.state, seen);
  assert.deepEqual(ca.calls, [
    ...['getOrder', 'getAuthorization a.example', 'getAuthorization b.example'],
    ...['present a.example', 'present b.example', 'initiate b.example'],
  ]);
  ca.moving = true;
  await driveOrder(parts, task, { from: step.state });
  assert.equal(ca.presented.size, 0);
});

test('advanceOrder() withdraws after a restart what was proven before it', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  let step = await advanceOrder(parts, task, newOrderState());
  const chosen = (await advanceOrder(parts, task, step.state, ca.order)).state;
  step = await advanceOrder(parts, task, chosen, ca.order);
  assert.equal(ca.presented.size, 2);
  // The worker died before it saved that; meanwhile the CA has validated one of the two.
  const [first] = ca.authorizations;
  if (first) first.status = 'valid';
  for (const challenge of first?.challenges ?? []) challenge.status = 'valid';
  const [second] = ca.authorizations.slice(1);
  for (const challenge of second?.challenges ?? []) challenge.status = 'pending';

  await driveOrder(parts, task, { from: chosen });
  assert.equal(ca.presented.size, 0);
  assert.equal(countOf(ca.calls, 'initiate a.example'), 1);
});

test('advanceOrder() polls on where nothing is left to prove but the order is still pending', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  let { state } = await advanceOrder(parts, task, newOrderState());
  for (const authorization of ca.authorizations) authorization.status = 'valid';
  ca.moving = false;
  const nexts: string[] = [];
  for (let turn = 0; turn < 3; turn++) {
    const step = await advanceOrder(parts, task, state);
    nexts.push(step.next);
    state = step.state;
  }
  assert.deepEqual(nexts, ['continue', 'wait', 'wait']);
  ca.moving = true;
  await driveOrder(parts, task, { from: state });
  assert.equal(requestsOf(ca).filter(call => call.startsWith('initiate')).length, 0);
});

for (const status of ['processing', 'valid'] as const)
  test(`advanceOrder() does not finalize again where the order is ${status} after a restart`, async () => {
    const ca = scriptCa();
    const parts = partsFor(ca);
    await ca.newOrder(task.identifiers);
    Object.assign(ca.order, { status, certificate: 'https://ca.example/cert/1' });
    const { chain } = await driveOrder(parts, task, {
      from: { ...newOrderState(), url: ca.order.url, initiated: true },
    });
    assert.equal(chain, 'the chain');
    assert.equal(countOf(ca.calls, 'finalize'), 0);
  });

test('the state of an order survives JSON and holds no key authorization', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const made = await advanceOrder(parts, task, newOrderState());
  const { state } = await advanceOrder(parts, task, made.state, ca.order);
  const text = JSON.stringify(state);
  assert.deepEqual(JSON.parse(text), state);
  assert.equal(state.challenges.length, 2);
  assert.equal(text.includes('thumbprint'), false);
});

function tokenOf(ca: ReturnType<typeof scriptCa>, index: number) {
  const token = ca.authorizations[index]?.challenges[1]?.token ?? '';
  return { identifier: task.identifiers[index], token, keyAuthorization: ca.keyAuthorization(token) };
}

test('advanceOrder() goes on where a predecessor has just told the CA of a challenge, which refuses to be told again', async () => {
  const ca = scriptCa();
  const initiate = ca.initiateChallenge;
  ca.initiateChallenge = async url => {
    await initiate(url);
    await initiate(url);
  };
  const { chain } = await driveOrder(partsFor(ca), taskFor('a.example'));
  assert.equal(chain, 'the chain');
});

/** A solver whose responses are seen once `visible` says so. */
function slowly(ca: ReturnType<typeof scriptCa>, visible: () => boolean) {
  const missing = async () => (visible() ? undefined : 'not seen yet');
  return { ...ca.solver, propagation: { deadline: 600_000, missing } };
}

test('advanceOrder() presents again what was taken back before the CA knew of it, and asks the CA nothing for that', async () => {
  const ca = scriptCa();
  let visible = false;
  const parts = { ...partsFor(ca), solvers: [slowly(ca, () => visible)] };
  let step = await advanceOrder(parts, task, newOrderState());
  step = await advanceOrder(parts, task, step.state, ca.order);
  step = await advanceOrder(parts, task, step.state, ca.order);
  assert.deepEqual([step.next, ca.presented.size], ['wait', 2]);
  const state = beforeHandOver(step.state);
  assert.ok(state);
  await withdrawChallenges(parts, step.state);
  assert.equal(ca.presented.size, 0);
  assert.equal(beforeHandOver(state), undefined, 'there is nothing left to take back');

  ca.calls.length = 0;
  visible = true;
  step = await advanceOrder(parts, task, JSON.parse(JSON.stringify(state)));
  assert.deepEqual(ca.calls, [
    ...['present a.example', 'present b.example', 'initiate a.example', 'initiate b.example'],
  ]);
  await driveOrder(parts, task, { from: step.state });
  assert.equal(ca.presented.size, 0);
});

test('beforeHandOver() leaves what the CA was told of', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  let step = await advanceOrder(parts, task, newOrderState());
  assert.equal(beforeHandOver(step.state), undefined, 'nothing is presented');
  step = await advanceOrder(parts, task, step.state, ca.order);
  const [first, ...others] = step.state.challenges;
  assert.ok(first && beforeHandOver(step.state));
  assert.equal(
    beforeHandOver({ ...step.state, challenges: [{ ...first, told: true }, ...others] }),
    undefined,
  );
  step = await advanceOrder(parts, task, step.state, ca.order);
  assert.equal(beforeHandOver(step.state), undefined);
});
