import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { driveOrder } from '../../../shared/order/drive-order.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import type { Checkpoint, OrderState } from '../../../shared/order/order-state.ts';
import { driveThrough, partsFor, type TestParts, taskFor } from './drive.ts';
import { type ScriptedCa, scriptCa } from './scripted-ca.ts';

// A CA may issue before it answers to finalize, and call the order ready until then.

const unanswered = () => new IssuanceError('unavailable', 'no answer within 120 seconds');

/** A CA whose names are proven, and parts that try a step that failed again after a second. */
function start(): { ca: ScriptedCa; parts: TestParts; finalized: () => number } {
  const ca = scriptCa({ valid: ['a.example'] });
  const parts = partsFor(ca);
  parts.judge = async error =>
    error instanceof IssuanceError && error.code === 'unavailable'
      ? { do: 'retry', at: parts.clock.now() + 1_000, withNewOrder: false }
      : { do: 'fail', error };
  return { ca, parts, finalized: () => ca.calls.filter(call => call === 'finalize').length };
}

/** The first finalize fails so many milliseconds after it was sent. */
function failFinalize(ca: ScriptedCa, parts: TestParts, after: number, error: Error): void {
  const { finalize } = ca;
  let failed = false;
  ca.finalize = async (order, csr) => {
    if (failed) return finalize(order, csr);
    failed = true;
    ca.calls.push('finalize');
    parts.clock.turn(after);
    throw error;
  };
}

/** From the n-th question on, the CA shows that it has issued. */
function issueAt(ca: ScriptedCa, question: number): void {
  const { getOrder } = ca;
  let asked = 0;
  ca.getOrder = async url => {
    if (++asked === question)
      Object.assign(ca.order, { status: 'valid', certificate: 'https://ca.example/c' });
    return getOrder(url);
  };
}

test('driveOrder() looks up an order whose finalize was cut off, and sends it once', async () => {
  for (const after of [2_000, 31_000, 120_000]) {
    const { ca, parts, finalized } = start();
    failFinalize(ca, parts, after, unanswered());
    issueAt(ca, 5);
    assert.equal((await driveThrough(parts, taskFor('a.example'))).chain, 'the chain');
    assert.deepEqual([finalized(), ca.calls.filter(call => call === 'getOrder').length], [1, 5], `${after}`);
  }
});

test('driveOrder() sends a finalize again of which the CA shows nothing for three minutes', async () => {
  const { ca, parts, finalized } = start();
  failFinalize(ca, parts, 120_000, unanswered());
  const sentAgain: number[] = [];
  const { getOrder } = ca;
  ca.getOrder = async url => {
    if (finalized() === 1) sentAgain.push(parts.clock.now());
    return getOrder(url);
  };
  await driveThrough(parts, taskFor('a.example'));
  assert.equal(finalized(), 2);
  const last = sentAgain.at(-1) ?? 0;
  assert.ok(last >= 180_000 && last < 200_000, `after ${last} ms`);
});

for (const [what, after, error] of [
  ['whose connection was closed at once', 100, unanswered()],
  [
    'that the CA itself says it could not do',
    31_000,
    new IssuanceError('unavailable', 'x', { problem: { type: 'urn:ietf:params:acme:error:serverInternal' } }),
  ],
] as const)
  test(`driveOrder() sends a finalize again ${what}`, async () => {
    const { ca, parts, finalized } = start();
    failFinalize(ca, parts, after, error);
    await driveThrough(parts, taskFor('a.example'));
    assert.equal(finalized(), 2);
    assert.ok(parts.clock.now() < after + 10_000);
  });

/** A run that is stopped while the CA finalizes. @returns what its successor goes on from */
async function stopWhileFinalizing(ca: ScriptedCa, parts: TestParts, from: Checkpoint): Promise<Checkpoint> {
  const stop = new AbortController();
  const stopped = new Error('the worker has stopped');
  ca.finalize = async () => {
    ca.calls.push('finalize');
    stop.abort(stopped);
    throw stopped;
  };
  const first = driveOrder({ ...parts, signal: stop.signal }, taskFor('a.example'), from);
  await assert.rejects(first, error => error === stopped);
  return parts.saved.at(-1) ?? from;
}

const identifier = { type: 'dns' as const, value: 'a.example' };
const challenge = { identifier, url: 'x', token: 'x', solver: 'http', told: false };

const resumed: [string, Partial<OrderState>][] = [
  ['an order that was announced', { initiated: true }],
  ['an order whose challenges are proven by now', { challenges: [challenge] }],
];
for (const [what, state] of resumed)
  test(`driveOrder() that has saved nothing yet, as it resumed ${what}, tells its successor too`, async () => {
    const { ca, parts, finalized } = start();
    const { url } = await ca.newOrder([identifier]);
    const before = newCheckpoint({ ...newOrderState(), ...state, url });
    const from = await stopWhileFinalizing(ca, parts, before);
    issueAt(ca, 3);
    assert.equal((await driveThrough(parts, taskFor('a.example'), { from })).chain, 'the chain');
    assert.equal(finalized(), 1);
    assert.ok(!ca.calls.some(call => call.startsWith('present')), 'nothing is left to prove');
  });

test('driveOrder() looks up an order whose finalize got an answer that cannot be read, should it be taken up again', async () => {
  const { ca, parts, finalized } = start();
  const error = new IssuanceError('unexpected', 'no JSON');
  failFinalize(ca, parts, 0, error);
  await assert.rejects(driveThrough(parts, taskFor('a.example')), error);
  const from = parts.saved.at(-1);
  assert.deepEqual(from?.order, { ...newOrderState(), url: ca.order.url, finalizedAt: 0 });
  issueAt(ca, 3);
  await driveThrough(parts, taskFor('a.example'), { from });
  assert.equal(finalized(), 1);
});

test('driveOrder() that is stopped while the CA finalizes tells its successor, who looks up the order', async () => {
  const { ca, parts, finalized } = start();
  const from = await stopWhileFinalizing(ca, parts, newCheckpoint());
  issueAt(ca, 3);
  assert.equal((await driveThrough(parts, taskFor('a.example'), { from })).chain, 'the chain');
  assert.equal(finalized(), 1);
});

test('driveOrder() that gives an order up while the CA may finalize tells who takes it up again', async () => {
  const { ca, parts, finalized } = start();
  failFinalize(ca, parts, 31_000, unanswered());
  const judge: TestParts['judge'] = async error => ({ do: 'fail', error });
  await assert.rejects(driveOrder({ ...parts, judge }, taskFor('a.example'), newCheckpoint()), /no answer/);
  issueAt(ca, 3);
  const from = parts.saved.at(-1);
  assert.equal((await driveThrough(parts, taskFor('a.example'), from && { from })).chain, 'the chain');
  assert.equal(finalized(), 1);
});

test('driveOrder() that gives an order up while the CA may finalize tells who takes it up again', async () => {
  const { ca, parts, finalized } = start();
  failFinalize(ca, parts, 31_000, unanswered());
  const judge: TestParts['judge'] = async error => ({ do: 'fail', error });
  await assert.rejects(driveOrder({ ...parts, judge }, taskFor('a.example'), newCheckpoint()), /no answer/);
  issueAt(ca, 3);
  const from = parts.saved.at(-1);
  assert.equal((await driveThrough(parts, taskFor('a.example'), from && { from })).chain, 'the chain');
  assert.equal(finalized(), 1);
});
