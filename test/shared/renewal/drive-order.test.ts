import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { newOrderState, type OrderState } from '../../../shared/order/order-state.ts';
import { driveOrder } from '../../../shared/renewal/drive-order.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { partsFor, taskFor } from '../order/drive-order.ts';
import { scriptCa } from '../order/scripted-ca.ts';

const away = () => new IssuanceError('unavailable', 'the CA is away');

function start(script: Parameters<typeof scriptCa>[0] = {}) {
  const ca = scriptCa(script);
  const saved: OrderState[] = [];
  const parts = partsFor(ca, turnedClock(0));
  const drive = (from = newOrderState()) =>
    driveOrder(parts, taskFor('a.example'), from, async state => void saved.push(structuredClone(state)));
  return { ca, saved, parts, drive };
}

test('driveOrder() goes to the end in one run, and saves each state before the next step', async () => {
  const { ca, saved, drive } = start();
  const { chain, certificate } = await drive();
  assert.deepEqual([chain, certificate], ['the chain', 'https://ca.example/cert/1']);
  assert.deepEqual(saved[0], { ...newOrderState(), url: ca.order.url });
  assert.equal(ca.presented.size, 0);
});

test('driveOrder() sits a CA out that is away for a moment, with one order', async () => {
  const { ca, drive, parts } = start();
  for (const call of ['getAuthorization', 'finalize', 'download']) ca.failNext.set(call, away());
  await drive();
  assert.equal(ca.calls.filter(call => call === 'newOrder').length, 1);
  assert.ok(parts.clock.sleeps.filter(ms => ms >= 1_000).length >= 3);
});

test('driveOrder() leaves an order that the CA is too long away for as it stands, but for what was presented', async () => {
  const { ca, saved, drive } = start();
  const until = new IssuanceError('unavailable', 'come back', { retryAfter: 7_200_000 });
  ca.failNext.set('initiate', until);
  await assert.rejects(drive(), until);
  assert.equal(ca.presented.size, 0);
  assert.deepEqual(saved.at(-1), { ...newOrderState(), url: ca.order.url });
  const { chain } = await drive(saved.at(-1));
  assert.equal(chain, 'the chain');
  assert.equal(ca.calls.filter(call => call === 'newOrder').length, 1);
});

test('driveOrder() gives up an order that the CA does not finish within an hour', async () => {
  const { ca, drive, parts } = start();
  ca.moving = false;
  await assert.rejects(drive(), /the CA does not finish the order within an hour/);
  assert.equal(ca.presented.size, 0);
  assert.ok(parts.clock.now() <= 3_600_000);
});

test('driveOrder() ends with the reason of its signal, and leaves what a later run goes on from', async () => {
  const { ca, saved, drive, parts } = start();
  const stop = new AbortController();
  parts.signal = stop.signal;
  parts.clock.sleep = async () => stop.abort(new Error('stopped'));
  await assert.rejects(drive(), /stopped/);
  assert.equal(saved.at(-1)?.initiated, true);
  assert.equal(ca.presented.size, 1);
});

test('driveOrder() takes back what it presented when it is stopped before the CA was told, and later presents it again', async () => {
  const { ca, saved, drive, parts } = start();
  const stop = new AbortController();
  parts.signal = stop.signal;
  const { solver } = ca;
  const present: typeof solver.present = async (response, signal) => {
    await solver.present(response, signal);
    stop.abort(new Error('stopped'));
    signal.throwIfAborted();
  };
  parts.solvers = [{ ...solver, present }];
  await assert.rejects(drive(), /stopped/);
  assert.equal(ca.presented.size, 0);
  assert.equal(saved.at(-1)?.takenBack, true);
  parts.signal = new AbortController().signal;
  parts.solvers = [solver];
  await drive(saved.at(-1));
  assert.equal(ca.calls.filter(call => call === 'newOrder').length, 1);
});

test('driveOrder() takes nothing back where the CA may have been told, or where the order is in other hands', async () => {
  const told = start();
  const stop = new AbortController();
  told.parts.signal = stop.signal;
  told.ca.initiateChallenge = async () => {
    stop.abort(new Error('stopped'));
    throw stop.signal.reason;
  };
  await assert.rejects(told.drive(), /stopped/);
  assert.equal(told.ca.presented.size, 1);

  const lost = start();
  const end = new AbortController();
  lost.parts.signal = end.signal;
  lost.parts.confirm = async () => end.signal.throwIfAborted();
  lost.parts.solvers = [
    {
      ...lost.ca.solver,
      async present(response, signal) {
        await lost.ca.solver.present(response, signal);
        end.abort(new Error('the lock was lost'));
        signal.throwIfAborted();
      },
    },
  ];
  await assert.rejects(lost.drive(), /the lock was lost/);
  assert.equal(lost.ca.presented.size, 1);
  assert.equal(lost.saved.at(-1)?.takenBack, undefined);
});
