import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import type { OrderChallenge } from '../../../shared/order/order-state.ts';
import { DeathError, driveThrough, type Fate, partsFor, taskFor } from './drive.ts';
import { requestsOf, scriptCa } from './scripted-ca.ts';

const task = taskFor('a.example', 'b.example');
const calm = scriptCa();
const undisturbed = await driveThrough(partsFor(calm), task);
const undisturbedCalls = [...calm.calls];

const countOf = (calls: string[], name: string) => calls.filter(call => call === name).length;

/** What must hold of every order that is issued, however often its workers died. */
async function assertNothingRepeated(fate: Fate, newOrders = 1) {
  const ca = scriptCa();
  const { chain } = await driveThrough(partsFor(ca), task, { fate });
  assert.equal(chain, 'the chain');
  assert.equal(countOf(ca.calls, 'newOrder'), newOrders);
  assert.equal(countOf(ca.calls, 'finalize'), 1);
  for (const name of ['a.example', 'b.example']) assert.equal(countOf(ca.calls, `initiate ${name}`), 1);
  assert.equal(ca.presented.size, 0);
}

test('driveOrder() resumes after a death at every second save without a second newOrder', async () => {
  for (const odd of [0, 1])
    await assertNothingRepeated(save => (save % 2 === odd ? 'dies after it' : 'lives'));
});

for (let at = 0; at < undisturbed.saves; at++) {
  test(`driveOrder() repeats nothing after a death right after save ${at + 1} of ${undisturbed.saves}`, async () => {
    await assertNothingRepeated(save => (save === at ? 'dies after it' : 'lives'));
  });

  // That an order whose making was not saved is made again cannot be helped; the CA hands out the same one.
  test(`driveOrder() repeats nothing after a death right before save ${at + 1} of ${undisturbed.saves}`, async () => {
    await assertNothingRepeated(save => (save === at ? 'dies before it' : 'lives'), at === 0 ? 2 : 1);
  });
}

for (const [at, call] of undisturbedCalls.entries())
  test(`driveOrder() repeats nothing but ${call} after a death at that, as call ${at + 1}`, async () => {
    const ca = scriptCa();
    const push = ca.calls.push.bind(ca.calls);
    ca.calls.push = (...calls) => {
      if (push(...calls) === at + 1) throw new DeathError();
      return ca.calls.length;
    };
    assert.equal((await driveThrough(partsFor(ca), task)).chain, 'the chain');
    for (const name of ['newOrder', 'initiate a.example', 'initiate b.example', 'finalize'])
      assert.equal(countOf(ca.calls, name), name === call ? 2 : 1, name);
    assert.equal(ca.presented.size, 0);
  });

/** A CA that validates one of two challenges when a drive takes the order up. */
async function validating() {
  const ca = scriptCa();
  const parts = partsFor(ca);
  await ca.newOrder(task.identifiers);
  ca.moving = false; // the CA takes its time
  const [first, second] = ca.authorizations.map(({ challenges }) => challenges[1]);
  assert.ok(first && second);
  await ca.initiateChallenge(first.url);
  ca.calls.length = 0;
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    ca.moving = true;
  };
  const toOrder = ({ url, token }: typeof first, value: string): OrderChallenge => ({
    identifier: { type: 'dns', value },
    ...{ url, token, solver: 'http', told: false },
  });
  return { ca, parts, presented: [toOrder(first, 'a.example'), toOrder(second, 'b.example')] };
}

test('driveOrder() initiates only what the CA is not validating already, where a predecessor has presented it', async () => {
  const { ca, parts, presented } = await validating();
  const from = newCheckpoint({ ...newOrderState(), url: ca.order.url, challenges: presented });
  await driveThrough(parts, task, { from });
  assert.deepEqual(ca.calls.slice(0, 6), [
    'getOrder',
    'getAuthorization a.example',
    'getAuthorization b.example',
    'present a.example',
    'present b.example',
    'initiate b.example',
  ]);
  assert.equal(ca.presented.size, 0);
});

test('driveOrder() initiates what is processing from the start, as some CAs wait for the word all the same', async () => {
  const { ca, parts } = await validating();
  const from = newCheckpoint({ ...newOrderState(), url: ca.order.url });
  await driveThrough(parts, task, { from });
  assert.deepEqual(ca.calls.slice(5, 7), ['initiate a.example', 'initiate b.example']);
  assert.equal(ca.presented.size, 0);
});

test('driveOrder() withdraws after a restart what was proven before it', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  // The worker dies before it saves that it told the CA; meanwhile the CA has validated one of the two.
  const fate: Fate = save => {
    if (save !== 2) return 'lives';
    const [first, second] = ca.authorizations;
    if (first) first.status = 'valid';
    for (const one of first?.challenges ?? []) one.status = 'valid';
    for (const one of second?.challenges ?? []) one.status = 'pending';
    assert.equal(ca.presented.size, 2);
    return 'dies before it';
  };
  await driveThrough(parts, task, { fate });
  assert.equal(ca.presented.size, 0);
  assert.equal(countOf(ca.calls, 'initiate a.example'), 1);
});

test('driveOrder() polls on where nothing is left to prove but the order is still pending', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  await ca.newOrder(task.identifiers);
  for (const authorization of ca.authorizations) authorization.status = 'valid';
  ca.moving = false;
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    if (parts.clock.sleeps.length === 2) ca.moving = true;
  };
  await driveThrough(parts, task, { from: newCheckpoint({ ...newOrderState(), url: ca.order.url }) });
  assert.ok(parts.clock.sleeps.length >= 2);
  assert.equal(requestsOf(ca).filter(call => call.startsWith('initiate')).length, 0);
});

for (const status of ['processing', 'valid'] as const)
  test(`driveOrder() does not finalize again where the order is ${status} after a restart`, async () => {
    const ca = scriptCa();
    await ca.newOrder(task.identifiers);
    Object.assign(ca.order, { status, certificate: 'https://ca.example/cert/1' });
    const challenges = ca.authorizations.flatMap(({ identifier, challenges: [one] }) =>
      one ? [{ identifier, url: one.url, token: one.token, solver: 'http', told: true }] : [],
    );
    for (const { token } of challenges) ca.presented.add(token);
    const from = newCheckpoint({ ...newOrderState(), url: ca.order.url, initiated: true, challenges });
    const { chain } = await driveThrough(partsFor(ca), task, { from });
    assert.equal(chain, 'the chain');
    assert.deepEqual([countOf(ca.calls, 'finalize'), ca.presented.size], [0, 0]);
  });

test('what is saved of an order holds no key authorization', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  await driveThrough(parts, task);
  assert.ok(parts.saved.some(({ order }) => order.challenges.length === 2));
  assert.equal(JSON.stringify(parts.saved).includes('thumbprint'), false);
});

test('driveOrder() goes on where a predecessor has just told the CA of a challenge, which refuses to be told again', async () => {
  const ca = scriptCa();
  const initiate = ca.initiateChallenge;
  ca.initiateChallenge = async url => {
    await initiate(url);
    await initiate(url);
  };
  const { chain } = await driveThrough(partsFor(ca), taskFor('a.example'));
  assert.equal(chain, 'the chain');
});

/** Stops a drive by its signal once the responses are presented. */
function stopOncePresented(ca: ReturnType<typeof scriptCa>, why = 'stopped') {
  const parts = partsFor(ca);
  const stop = new AbortController();
  parts.signal = stop.signal;
  const { solver } = ca;
  parts.solvers = [
    {
      ...solver,
      async present(response, signal) {
        await solver.present(response, signal);
        stop.abort(new Error(why));
        signal.throwIfAborted();
      },
    },
  ];
  return parts;
}

test('driveOrder() takes back what it presented when it is stopped before the CA was told, and later presents it again', async () => {
  const ca = scriptCa();
  const parts = stopOncePresented(ca);
  const savedAtWithdraw: unknown[] = [];
  parts.solvers = parts.solvers.map(({ withdraw, ...solver }) => ({
    ...solver,
    async withdraw(response, signal) {
      savedAtWithdraw.push(parts.saved.at(-1)?.order.takenBack);
      await withdraw(response, signal);
    },
  }));
  await assert.rejects(driveThrough(parts, taskFor('a.example')), /stopped/);
  assert.equal(ca.presented.size, 0);
  const [last] = parts.saved.slice(-1);
  assert.equal(last?.order.takenBack, true);
  assert.deepEqual(savedAtWithdraw, [true], 'else a death would leave the next one to initiate what is gone');

  ca.calls.length = 0;
  await driveThrough(partsFor(ca), taskFor('a.example'), { from: last ?? newCheckpoint() });
  assert.deepEqual(
    ca.calls.slice(0, 2),
    ['present a.example', 'initiate a.example'],
    'the CA is asked nothing for that',
  );
});

test('driveOrder() takes nothing back where the CA may have been told', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const stop = new AbortController();
  parts.signal = stop.signal;
  ca.initiateChallenge = async () => {
    stop.abort(new Error('stopped'));
    throw stop.signal.reason;
  };
  await assert.rejects(driveThrough(parts, taskFor('a.example')), /stopped/);
  assert.equal(ca.presented.size, 1);
});

test('driveOrder() takes nothing back that a predecessor presented, who may have told the CA and died before it saved that', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const stop = new AbortController();
  parts.signal = stop.signal;
  const { initiateChallenge } = ca;
  ca.initiateChallenge = async url => {
    await initiateChallenge(url);
    stop.abort(new Error('stopped'));
    throw new DeathError();
  };
  await assert.rejects(driveThrough(parts, task), /stopped/);
  assert.equal(countOf(ca.calls, 'initiate a.example'), 1);
  const [last] = parts.saved.slice(-1);
  assert.ok(last && !last.order.initiated && last.order.challenges.length === 2);
  const saves = parts.saved.length;

  await assert.rejects(driveThrough(parts, task, { from: last }), /stopped/);
  assert.deepEqual([ca.presented.size, parts.saved.length], [2, saves]);
});

test('driveOrder() takes nothing back where the order is in other hands', async () => {
  const ca = scriptCa();
  const parts = stopOncePresented(ca, 'the lock was lost');
  parts.confirm = async () => parts.signal.throwIfAborted();
  const warnings: string[] = [];
  parts.warn = text => void warnings.push(text);
  await assert.rejects(driveThrough(parts, taskFor('a.example')), /the lock was lost/);
  assert.equal(ca.presented.size, 1);
  assert.equal(parts.saved.at(-1)?.order.takenBack, undefined);
  assert.deepEqual(warnings, ['challenge responses are not taken back: the lock was lost']);
});

test('driveOrder() saves a step that has begun before it stops between two steps', async () => {
  const ca = scriptCa();
  const stopping = new AbortController();
  const { newOrder } = ca;
  ca.newOrder = async identifiers => {
    stopping.abort(new Error('the worker is stopping'));
    return newOrder(identifiers);
  };
  const parts = { ...partsFor(ca), stopping: stopping.signal };
  await assert.rejects(driveThrough(parts, task), /the worker is stopping/);
  assert.equal(parts.saved.at(-1)?.order.url, ca.order.url);
  assert.deepEqual(ca.calls, ['newOrder']);
});
