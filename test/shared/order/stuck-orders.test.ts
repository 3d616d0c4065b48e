import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError, type Problem } from '../../../shared/base/errors.ts';
import type { Verdict } from '../../../shared/order/drive-parts.ts';
import { retryTime, SHORT_PATIENCE } from '../../../shared/order/fail-over.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import type { Checkpoint } from '../../../shared/order/order-state.ts';
import { acmeError } from '../acme/fake-ca.ts';
import { driveThrough, partsFor, type TestParts, taskFor } from './drive.ts';
import { requestsOf, type ScriptedCa, scriptCa } from './scripted-ca.ts';

// Orders that stay pending, though nothing can come of them, or not without another word.

const name = 'a.example';
const task = taskFor(name);
const error: Problem = { type: acmeError('dns'), detail: 'NXDOMAIN' };
const countOf = ({ calls }: ScriptedCa, call: string) => calls.filter(one => one === call).length;

/**
 * A CA that looks for the proof when it is told, and then only says what it found: the order stays pending.
 */
function stuckCa(found: (tries: number) => { status: string; error?: Problem }) {
  const ca = scriptCa();
  ca.moving = false;
  ca.initiateChallenge = async url => {
    ca.calls.push(`initiate ${name}`);
    const [authorization] = ca.authorizations;
    const challenge = authorization?.challenges.find(one => one.url === url);
    assert.ok(authorization && challenge && ca.presented.size === 1);
    Object.assign(challenge, { error: undefined }, found(countOf(ca, `initiate ${name}`)));
    if (challenge.status === 'valid') {
      authorization.status = 'valid';
      ca.moving = true;
    }
  };
  return ca;
}

test('a challenge that is pending with an error is announced again, and the order goes on once it is mended', async () => {
  const ca = stuckCa(tries => (tries < 3 ? { status: 'pending', error } : { status: 'valid' }));
  const { chain } = await driveThrough(partsFor(ca), task);
  assert.equal(chain, 'the chain');
  assert.deepEqual([countOf(ca, 'newOrder'), countOf(ca, `initiate ${name}`)], [1, 3]);
  assert.equal(ca.presented.size, 0);
});

test("a challenge that stays pending with an error is the client's, in the CA's words, after some tries in half a minute", async () => {
  const ca = stuckCa(() => ({ status: 'pending', error }));
  const parts = partsFor(ca);
  await assert.rejects(driveThrough(parts, task), {
    code: 'challengeFailed',
    message: `${name}: NXDOMAIN: add A or AAAA records that lead to a web server, which has to serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry`,
    problem: { ...error, identifier: { type: 'dns', value: name } },
  });
  assert.equal(countOf(ca, `initiate ${name}`), 4);
  assert.equal(parts.clock.now(), 30_000);
  assert.equal(ca.presented.size, 0);
});

test('a challenge that is invalid while the order stays pending ends it, though the CA gives no reason', async () => {
  const ca = stuckCa(() => ({ status: 'invalid' }));
  const parts = partsFor(ca);
  const detail = 'the CA calls the challenge invalid, and gives no reason';
  await assert.rejects(driveThrough(parts, task), {
    code: 'challengeFailed',
    message: `${name}: ${detail}`,
    problem: { type: 'about:blank', detail, identifier: { type: 'dns', value: name } },
  });
  assert.ok(parts.clock.now() < 10_000, `${parts.clock.now()}`);
});

test('a CA that takes its time, and says nothing of an error, is waited for', async () => {
  const ca = stuckCa(() => ({ status: 'pending' }));
  const parts = partsFor(ca);
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    if (parts.clock.now() < 600_000) return;
    for (const authorization of ca.authorizations) authorization.status = 'valid';
    ca.moving = true;
  };
  await driveThrough(parts, task);
  assert.equal(countOf(ca, `initiate ${name}`), 1, 'Boulder would validate once more');
  const looks = countOf(ca, `getAuthorization ${name}`) - 1;
  assert.ok(looks > 3 && looks < 16, `${looks} looks in ten minutes`);
});

test('a CA that validates for minutes what a killed run perhaps told it of is told again a few times, and waited for', async () => {
  const ca = stuckCa(() => ({ status: 'processing' }));
  const { url } = await ca.newOrder(task.identifiers);
  const [challenge] = ca.authorizations.flatMap(({ challenges }) => challenges).slice(1);
  assert.ok(challenge?.type === 'http-01');
  challenge.status = 'processing';
  ca.presented.add(challenge.token);
  const [identifier] = task.identifiers;
  assert.ok(identifier);
  const presented = { identifier, url: challenge.url, token: challenge.token, solver: 'http', told: false };
  const parts = partsFor(ca);
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    if (parts.clock.now() < 300_000) return;
    challenge.status = 'valid';
    for (const authorization of ca.authorizations) authorization.status = 'valid';
    ca.moving = true;
  };
  const from = newCheckpoint({ ...newOrderState(), url, challenges: [presented] });
  await driveThrough(parts, task, { from });
  assert.ok(parts.clock.now() >= 300_000);
  assert.deepEqual([countOf(ca, 'newOrder'), countOf(ca, `initiate ${name}`)], [1, 3]);
});

/** A CA whose order is handed out with an authorization in this state, so often. */
function spentCa(status: string, times: number) {
  const ca = scriptCa();
  const { newOrder } = ca;
  ca.newOrder = async identifiers => {
    const order = await newOrder(identifiers);
    if (countOf(ca, 'newOrder') <= times) for (const one of ca.authorizations) one.status = status;
    return order;
  };
  return ca;
}

const retrying =
  ({ clock }: TestParts) =>
  async (error: unknown, checkpoint: Checkpoint): Promise<Verdict> => {
    const policy = { ...SHORT_PATIENCE, mostNewOrders: 5 };
    const retry = retryTime(error, checkpoint, clock.now(), policy);
    return retry ? { do: 'retry', ...retry } : { do: 'fail', error };
  };

for (const status of ['invalid', 'deactivated', 'expired', 'revoked']) {
  test(`an order that is handed out with an authorization that is ${status} is made anew, with no word on its challenges`, async () => {
    const ca = spentCa(status, 1);
    const parts = partsFor(ca);
    parts.judge = retrying(parts);
    const { chain, checkpoint } = await driveThrough(parts, task);
    assert.deepEqual([chain, checkpoint.lostOrders], ['the chain', 1]);
    assert.deepEqual([countOf(ca, 'newOrder'), countOf(ca, `initiate ${name}`)], [2, 1]);
  });

  test(`an order that is handed out so again (${status}) is made anew once and no more`, async () => {
    const ca = spentCa(status, 9);
    const parts = partsFor(ca);
    parts.judge = retrying(parts);
    const said = status === 'invalid' ? /challenge invalid, and gives no reason$/ : RegExp(`${status}$`);
    await assert.rejects(driveThrough(parts, task), (error: Error & { code: string }) => {
      assert.equal(error.code, 'challengeFailed');
      assert.match(error.message, said);
      return true;
    });
    assert.deepEqual(
      requestsOf(ca),
      Array(2)
        .fill(['newOrder', `getAuthorization ${name}`])
        .flat(),
    );
  });
}

test('an order of an earlier run whose challenge was found invalid since is made anew', async () => {
  const ca = scriptCa();
  await ca.newOrder(task.identifiers);
  for (const challenge of ca.authorizations.flatMap(({ challenges }) => challenges))
    challenge.status = 'invalid';
  const parts = partsFor(ca);
  parts.judge = retrying(parts);
  const from = newCheckpoint({ ...newOrderState(), url: ca.order.url });
  assert.equal((await driveThrough(parts, task, { from })).checkpoint.lostOrders, 1);
});

for (const [type, code, newOrders] of [
  ['serverInternal', 'gone', 6],
  ['rateLimited', 'rateLimited', 1],
  ['badCSR', 'badCsr', 1],
  ['caa', 'denied', 1],
  ['unauthorized', 'denied', 1],
  ['orderNotReady', 'denied', 1],
] as const)
  test(`finalize that ends in invalid with ${type} is ${code}, as the same problem of an answer would be`, async () => {
    const ca = scriptCa({ valid: [name] });
    const { finalize } = ca;
    ca.finalize = async (order, csr) => {
      const retryAfter = parts.clock.now() + 5_000;
      const error = { type: acmeError(type), detail: `${type} it is` };
      return { ...(await finalize(order, csr)), status: 'invalid', error, retryAfter };
    };
    const parts = partsFor(ca);
    parts.judge = retrying(parts);
    await assert.rejects(driveThrough(parts, task), (failure: IssuanceError) => {
      assert.ok(failure instanceof IssuanceError);
      assert.deepEqual([failure.code, failure.message], [code, `the CA ended the order: ${type} it is`]);
      assert.ok(failure.problem && failure.retryAfter);
      return true;
    });
    assert.equal(countOf(ca, 'newOrder'), newOrders, 'each but the first after a backoff');
  });

test('an order that its CA has ended for a limit is not taken up again once the limit is over', async () => {
  const ca = scriptCa({ valid: [name] });
  const { finalize } = ca;
  let ended = false;
  ca.finalize = async (order, csr) => {
    const finalized = await finalize(order, csr);
    if (ended) return finalized;
    ended = true;
    const error = { type: acmeError('rateLimited'), detail: 'too many' };
    ca.order = { ...ca.order, status: 'invalid', error };
    return { ...finalized, status: 'invalid', error };
  };
  const parts = partsFor(ca);
  parts.judge = async () => ({ do: 'retry', at: parts.clock.now() + 60_000, withNewOrder: false });
  assert.equal((await driveThrough(parts, task)).chain, 'the chain');
  assert.equal(countOf(ca, 'newOrder'), 2);
});
