import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { Order } from '../../../shared/library/order.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { type CaScript, scriptCa } from '../order/scripted-ca.ts';

async function start(script: CaScript = {}) {
  const ca = scriptCa(script);
  const clock = turnedClock(0);
  const order = await Order.make({ client: () => ca, clock }, ['a.example']);
  const initiate = async () => {
    for (const { challenges } of ca.authorizations) await ca.initiateChallenge(challenges[1]?.url ?? '');
  };
  return { ca, clock, order, initiate };
}

test('an order goes from pending over ready to its chain', async () => {
  const { ca, order, initiate } = await start();
  await initiate();
  assert.equal((await order.until('ready')).status, 'ready');
  assert.equal((await order.finalize(Buffer.from('a CSR'))).status, 'processing');
  assert.equal(await order.chain(), 'the chain');
  assert.equal(order.status, 'valid');
  assert.equal((await order.until('ready')).status, 'valid', 'it has been ready');
  assert.equal(ca.calls.filter(call => call === 'finalize').length, 1);
});

test("until() ends with the CA's words when the order has become invalid", async () => {
  const type = 'urn:ietf:params:acme:error:connection';
  const { order, initiate } = await start({ faults: { 'a.example': { type, detail: 'nobody answers' } } });
  await initiate();
  await assert.rejects(order.until('ready'), ({ code, message, problem }: IssuanceError) => {
    assert.deepEqual(
      [code, message, problem?.type],
      [
        'challengeFailed',
        'a.example: nobody answers: open port 80 to all, as CAs come from many addresses',
        type,
      ],
    );
    return true;
  });
  assert.equal(order.status, 'invalid');
});

test('until() asks when the CA wants to be asked, and else ever more slowly', async () => {
  const { ca, clock, order } = await start();
  ca.moving = false;
  ca.order.retryAfter = 7_000;
  const stop = new AbortController();
  const { sleep } = clock;
  clock.sleep = async (ms, signal) => {
    if (clock.sleeps.length === 1) ca.order.retryAfter = undefined;
    if (clock.sleeps.length === 4) stop.abort(new Error('enough'));
    await sleep(ms, signal);
  };
  await assert.rejects(order.until('ready', stop.signal), /enough/);
  assert.deepEqual(clock.sleeps, [7_000, 250, 500, 1_000]);
});

test('until() asks a CA that is away for a moment again, and gives up on one that has lost the order', async () => {
  const { ca, clock, order, initiate } = await start();
  await initiate();
  ca.failNext.set('getOrder', new IssuanceError('unavailable', 'away'));
  await order.until('ready');
  assert.ok((clock.sleeps[0] ?? 0) >= 750);
  ca.failNext.set('getOrder', new IssuanceError('gone', 'no such order'));
  await assert.rejects(order.until('valid'), /no such order/);
  ca.getOrder = async () => {
    throw new IssuanceError('unavailable', 'still away');
  };
  await assert.rejects(order.until('valid'), /still away/);
});
