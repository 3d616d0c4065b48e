import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { toIssuanceError } from '../../../shared/acme/problem.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { driveOrder } from '../../../shared/order/drive-order.ts';
import type { Verdict } from '../../../shared/order/drive-parts.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import type { Solver } from '../../../shared/solver/solver.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { acmeError } from '../acme/fake-ca.ts';
import { driveThrough, partsFor, taskFor, withPaces } from './drive.ts';
import { requestsOf, type ScriptedCa, scriptCa } from './scripted-ca.ts';

const names = ['a.example', 'b.example', 'c.example'];
const fault = { type: 'urn:ietf:params:acme:error:dns', detail: 'NXDOMAIN' };
const countOf = ({ calls }: ScriptedCa, name: string) => calls.filter(call => call === name).length;

test('driveOrder() needs seven requests for one name', async () => {
  const ca = scriptCa();
  const { chain, checkpoint } = await driveThrough(partsFor(ca), taskFor('a.example'));
  assert.equal(chain, 'the chain');
  assert.deepEqual(requestsOf(ca), [
    'newOrder',
    'getAuthorization a.example',
    'initiate a.example',
    'getOrder',
    'finalize',
    'getOrder',
    'download',
  ]);
  assert.deepEqual(checkpoint.order.challenges, []);
});

test('driveOrder() needs two more requests for each further name', async () => {
  const ca = scriptCa();
  await driveThrough(partsFor(ca), taskFor(...names));
  assert.equal(requestsOf(ca).length, 11);
});

test('driveOrder() needs four requests where all names are valid already, and no solver', async () => {
  const ca = scriptCa({ valid: names });
  await driveThrough({ ...partsFor(ca), solvers: [] }, taskFor(...names));
  assert.deepEqual(ca.calls, ['newOrder', 'finalize', 'getOrder', 'download']);
});

test('driveOrder() presents all before it initiates any, and withdraws all, and asks whose the order is, before it finalizes', async () => {
  const ca = scriptCa();
  const confirm = async () => {
    await setImmediate();
    ca.calls.push('confirm');
  };
  await driveThrough({ ...partsFor(ca), confirm }, taskFor('a.example', 'b.example'));
  assert.deepEqual(ca.calls, [
    'newOrder',
    'getAuthorization a.example',
    'getAuthorization b.example',
    'present a.example',
    'present b.example',
    'initiate a.example',
    'initiate b.example',
    'getOrder',
    'withdraw a.example',
    'withdraw b.example',
    'confirm',
    'finalize',
    'getOrder',
    'download',
  ]);
  assert.equal(ca.presented.size, 0);
});

test('driveOrder() leaves names alone that are valid already', async () => {
  const ca = scriptCa({ valid: ['a.example', 'c.example'] });
  await driveThrough(partsFor(ca), taskFor(...names));
  const touched = ca.calls.filter(call => /^(present|initiate|withdraw) /.test(call));
  assert.deepEqual(touched, ['present b.example', 'initiate b.example', 'withdraw b.example']);
});

/** The responses can be seen once they were looked for so often. */
function slowToShow(ca: ScriptedCa, emptyLooks: number, deadline: number): Solver {
  let looks = 0;
  const missing = async () => {
    ca.calls.push('look');
    return looks++ < emptyLooks ? 'ns2.example does not show it' : undefined;
  };
  return { ...ca.solver, propagation: { deadline, missing } };
}

test('driveOrder() tells the CA once the responses can be seen, and asks it nothing meanwhile', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca), solvers: [slowToShow(ca, 3, 60_000)] };
  await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual(ca.calls.slice(0, 8), [
    'newOrder',
    'getAuthorization a.example',
    'present a.example',
    'look',
    'look',
    'look',
    'look',
    'initiate a.example',
  ]);
  assert.deepEqual(parts.clock.sleeps.slice(0, 3), [250, 500, 1_000]);
  assert.equal(requestsOf(ca).filter(call => call !== 'look').length, 7);
});

test('driveOrder() goes on looking after a restart, and presents nothing again', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca), solvers: [slowToShow(ca, 3, 60_000)] };
  await driveThrough(parts, taskFor('a.example'), { fate: save => (save > 2 ? 'dies after it' : 'lives') });
  assert.equal(countOf(ca, 'present a.example'), 1);
  assert.equal(countOf(ca, 'initiate a.example'), 1);
});

test('driveOrder() fails, with what is missing, when the responses cannot be seen in time', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca), solvers: [slowToShow(ca, 100, 10_000)] };
  await assert.rejects(driveThrough(parts, taskFor('a.example')), {
    code: 'challengeFailed',
    message: /^a\.example: ns2\.example does not show it, after 1\d s$/,
  });
  assert.ok(!ca.calls.includes('initiate a.example'));
  assert.equal(ca.presented.size, 0);
});

test('driveOrder() answers each name by the first solver that can prove it', async () => {
  const ca = scriptCa();
  const dns: Solver = {
    name: 'dns',
    challengeType: 'dns-01',
    canProve: () => true,
    present: async ({ identifier }) => void ca.calls.push(`dns ${identifier.value}`),
    withdraw: async ({ identifier }) => void ca.calls.push(`dns off ${identifier.value}`),
  };
  await driveThrough({ ...partsFor(ca), solvers: [ca.solver, dns] }, taskFor('a.example', '*.a.example'));
  const acts = ca.calls.filter(call => /^(present|withdraw|dns)/.test(call));
  assert.deepEqual(acts, [
    'present a.example',
    'dns *.a.example',
    'withdraw a.example',
    'dns off *.a.example',
  ]);
});

for (const [status, type] of [
  [409, acmeError('alreadyReplaced')],
  [403, acmeError('unauthorized')],
  [400, acmeError('malformed')],
  [409, acmeError('conflict')],
  [404, acmeError('malformed')],
  [400, 'about:blank'],
  [400, undefined],
  [500, acmeError('serverInternal')],
] as const)
  test(`driveOrder() names the certificate that is replaced, and leaves it away once the CA has said ${status} ${type}`, async () => {
    const ca = scriptCa();
    const replaced: (string | undefined)[] = [];
    const { newOrder } = ca;
    ca.newOrder = async (identifiers, options) => {
      replaced.push(options?.replaces);
      return newOrder(identifiers, options);
    };
    ca.failNext.set('newOrder', toIssuanceError({ status, data: type ? { type } : 'no' }, 'replaced'));
    const turns: unknown[] = [];
    const mayOrder = async ({ order, turn }: ReturnType<typeof newCheckpoint>) => {
      turns.push(turn);
      return { do: 'order', turn: order.replaced ? 'counted' : 'exempt' } as const;
    };
    const parts = { ...partsFor(ca), mayOrder };
    const { checkpoint } = await driveThrough(parts, { ...taskFor('a.example'), replaces: 'aki.serial' });
    assert.deepEqual(replaced, ['aki.serial', undefined]);
    assert.deepEqual(turns, [undefined, undefined], 'the second order is counted anew');
    assert.equal(checkpoint.turn, 'counted');
  });

for (const [method, kind] of [
  ['newOrder', 'malformed'],
  ['finalize', 'malformed'],
  ['finalize', 'unauthorized'],
] as const)
  test(`driveOrder() takes ${kind} at ${method} for a fault of the CSR, in the CA's words`, async () => {
    const ca = scriptCa();
    const problem = { type: `urn:ietf:params:acme:error:${kind}`, detail: 'no' };
    ca.failNext.set(method, new IssuanceError('unexpected', 'the CA says no', { problem }));
    await assert.rejects(driveThrough(partsFor(ca), taskFor('a.example')), {
      code: 'badCsr',
      message: 'the CA says no',
      problem,
    });
  });
test('driveOrder() takes other refusals of an order for what they are', async () => {
  for (const [replaces, refusal] of [
    ['aki.serial', 'rateLimited'],
    [undefined, 'malformed'],
  ] as const) {
    const ca = scriptCa();
    const problem = { type: `urn:ietf:params:acme:error:${refusal}` };
    const code = refusal === 'rateLimited' ? refusal : 'unexpected';
    ca.failNext.set('newOrder', new IssuanceError(code, 'refused', { problem }));
    const task = { ...taskFor('a.example'), replaces };
    await assert.rejects(driveThrough(partsFor(ca), task), { message: 'refused' });
    assert.deepEqual(ca.calls, ['newOrder']);
  }
  const ca = scriptCa();
  ca.failNext.set('newOrder', new TypeError('x'));
  const task = { ...taskFor('a.example'), replaces: 'aki.serial' };
  await assert.rejects(driveThrough(partsFor(ca), task), TypeError);
});

test("driveOrder() saves the order's URL before it touches a challenge, and the challenges before it presents them", async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const callsAtSave: number[] = [];
  const { save } = parts;
  parts.save = async checkpoint => {
    callsAtSave.push(ca.calls.length);
    await save(checkpoint);
  };
  await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual(parts.saved[0]?.order, { ...newOrderState(), url: 'https://ca.example/order/1' });
  assert.deepEqual(ca.calls.slice(0, callsAtSave[0]), ['newOrder']);
  assert.deepEqual(ca.calls.slice(callsAtSave[0], callsAtSave[1]), ['getAuthorization a.example']);
  assert.equal(callsAtSave.length, 2, 'all that follows the CA says again');
});

test('driveOrder() refuses a wildcard for http-01 before it makes an order', async () => {
  const ca = scriptCa();
  await assert.rejects(driveThrough(partsFor(ca), taskFor('a.example', '*.b.example')), {
    code: 'denied',
    message: 'not possible for *.b.example: http-01 of verification "http" cannot prove it',
  });
  assert.deepEqual(ca.calls, []);
});

test('driveOrder() says what the CA offers where no challenge fits, and presents nothing', async () => {
  const ca = scriptCa({ offers: ['dns-01'] });
  await assert.rejects(driveThrough(partsFor(ca), taskFor('a.example')), {
    code: 'misconfigured',
    message: /the CA offers dns-01, but verification "http"/,
  });
  assert.deepEqual(ca.calls, ['newOrder', 'getAuthorization a.example']);
});

test('driveOrder() keeps asking, ever more slowly, while the CA validates and while it issues', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  ca.moving = false;
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    ca.moving = countOf(ca, 'getOrder') % 4 === 3;
  };
  await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual(parts.clock.sleeps, [250, 250, 500, 1000, 250, 250, 500, 1000]);
});

test('driveOrder() asks the CA nothing while it waits, and ends with what a wait ends with', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  parts.clock.sleep = async () => {
    const before = ca.calls.length;
    await setImmediate();
    assert.equal(ca.calls.length, before);
    if (ca.calls.includes('finalize')) throw new Error('stopped');
  };
  await assert.rejects(driveThrough(parts, taskFor('a.example')), /stopped/);
  assert.ok(!ca.calls.includes('download'));
});

test('driveOrder() learns how long the CA takes to validate and to issue', async () => {
  const parts = withPaces(partsFor(scriptCa(), turnedClock(1_000_000)));
  await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual(parts.clock.sleeps, [250, 250]);
  const { validation, issuance } = parts.paces ?? {};
  assert.deepEqual([validation?.first, issuance?.first], [200, 200]);
  await driveThrough({ ...parts, acme: scriptCa() }, taskFor('a.example'));
  assert.deepEqual(parts.clock.sleeps.slice(2), [200, 200]);
});

test('driveOrder() hands a wait back that is too long to sit out', async () => {
  const ca = scriptCa();
  const parts = { ...partsFor(ca, turnedClock(1_000)), longestWait: 2_000 };
  const getOrder = ca.getOrder;
  let retryAfter = 3_250;
  ca.getOrder = async url => ({ ...(await getOrder(url)), retryAfter });
  ca.moving = false;
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    if (ms === 2_000) retryAfter = 5_251;
  };
  const task = taskFor('a.example');
  const end = await driveOrder(parts, task, newCheckpoint());
  assert.deepEqual(end, { end: 'later', until: 5_251 });
  assert.deepEqual(parts.clock.sleeps, [250, 2_000]);
});

test('driveOrder() waits where a ready order turns out not to be, ever longer, and then finalizes it', async () => {
  const ca = scriptCa({ valid: ['a.example'] });
  const problem = { type: 'urn:ietf:params:acme:error:orderNotReady' };
  const finalize = ca.finalize;
  let refusals = 3;
  ca.finalize = async (order, csr) => {
    if (refusals-- > 0) throw new IssuanceError('unexpected', 'not ready', { problem });
    return finalize(order, csr);
  };
  const parts = partsFor(ca);
  const { chain } = await driveThrough(parts, taskFor('a.example'));
  assert.equal(chain, 'the chain');
  assert.deepEqual(parts.clock.sleeps, [250, 250, 500, 250]);
});

test('driveOrder() takes what a CA refuses to finalize as unauthorized for a wrong CSR, and all else as it is', async () => {
  for (const [kind, code] of [
    ['unauthorized', 'badCsr'],
    ['rejectedIdentifier', 'denied'],
  ] as const) {
    const ca = scriptCa({ valid: ['a.example'] });
    const problem = { type: `urn:ietf:params:acme:error:${kind}`, detail: 'other names' };
    ca.failNext.set('finalize', new IssuanceError('denied', 'other names', { problem }));
    await assert.rejects(driveThrough(partsFor(ca), taskFor('a.example')), {
      code,
      message: 'other names',
      problem,
    });
  }
});

test('driveOrder() names each failed challenge of an invalid order, and withdraws all', async () => {
  const ca = scriptCa({ faults: { 'a.example': fault, 'c.example': fault } });
  const parts = partsFor(ca);
  await assert.rejects(driveThrough(parts, taskFor(...names)), {
    code: 'challengeFailed',
    message:
      'a.example: NXDOMAIN; c.example: NXDOMAIN: add A or AAAA records that lead to a web server, which has to serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry',
  });
  assert.equal(ca.presented.size, 0);
  const { order, lostOrders, turn } = parts.saved.at(-1) ?? newCheckpoint();
  assert.deepEqual([order, lostOrders, turn], [newOrderState(), 1, undefined], 'it is of no use any more');
});

test('driveOrder() asks on where an order is ready without a URL of finalize, or valid without a certificate', async () => {
  const ca = scriptCa();
  const { getOrder } = ca;
  const missing = { ready: 2, valid: 2 };
  ca.getOrder = async url => {
    const { finalize, certificate, ...order } = await getOrder(url);
    const { status } = order;
    const isThere = !(status in missing) || missing[status as keyof typeof missing]-- <= 0;
    return isThere ? { ...order, finalize, certificate } : { ...order, finalize: '', certificate: undefined };
  };
  assert.equal((await driveThrough(partsFor(ca), taskFor('a.example'))).chain, 'the chain');
  assert.deepEqual(
    [countOf(ca, 'newOrder'), countOf(ca, 'finalize'), missing],
    [1, 1, { ready: -1, valid: -1 }],
  );
});

test('driveOrder() takes one that a CA answers finalize with as still pending for no leave to finalize again at once', async () => {
  const ca = scriptCa({ valid: ['a.example'] });
  const { finalize } = ca;
  ca.finalize = async (order, csr) => ({ ...(await finalize(order, csr)), status: 'ready' });
  await driveThrough(partsFor(ca), taskFor('a.example'));
  assert.deepEqual(ca.calls, ['newOrder', 'finalize', 'getOrder', 'download']);
});

test('driveOrder() does nothing while the order may not be made', async () => {
  const ca = scriptCa();
  const why = { for: 'limit', until: 12_000 } as const;
  const wait = { ...partsFor(ca), mayOrder: async () => ({ do: 'wait', until: 9_000, why }) as const };
  assert.deepEqual(await driveOrder(wait, taskFor('a.example'), newCheckpoint()), {
    ...{ end: 'later', until: 9_000, why },
  });
  const use = { ...partsFor(ca), mayOrder: async () => ({ do: 'use', instead: 'a chain' }) as const };
  const end = await driveOrder<string>(use, taskFor('a.example'), newCheckpoint());
  assert.deepEqual(end, { end: 'instead', instead: 'a chain' });
  assert.deepEqual([ca.calls, wait.saved], [[], []]);
});

/** Tries again after a second, with a new order where the CA has lost one. */
const retrying =
  (clock: { now(): number }) =>
  async (error: unknown): Promise<Verdict> =>
    error instanceof IssuanceError && ['unavailable', 'gone'].includes(error.code)
      ? { do: 'retry', at: clock.now() + 1_000, withNewOrder: error.code === 'gone' }
      : { do: 'fail', error };

test('driveOrder() tries a step again when it is told to, with one order, and counts the failures in a row', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const failures: number[] = [];
  parts.judge = async (error, checkpoint) => {
    failures.push(checkpoint.failures);
    return retrying(parts.clock)(error);
  };
  const away = new IssuanceError('unavailable', 'the CA is away');
  for (const call of ['getAuthorization', 'finalize', 'download']) ca.failNext.set(call, away);
  await driveThrough(parts, taskFor('a.example'));
  assert.equal(countOf(ca, 'newOrder'), 1);
  assert.deepEqual(failures, [0, 0, 0]);
  assert.equal(parts.clock.sleeps.filter(ms => ms === 1_000).length, 3);
  assert.deepEqual(
    parts.saved.map(one => one.failures).filter(count => count > 0),
    [1, 1, 1],
  );
});

test('driveOrder() makes a new order where the CA has lost one, and takes back what it presented for it', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  parts.judge = retrying(parts.clock);
  ca.failNext.set('getOrder', new IssuanceError('gone', 'no such order'));
  const { sleep } = parts.clock;
  parts.clock.sleep = async (ms, signal) => {
    if (ms === 1_000) assert.equal(ca.presented.size, 0);
    await sleep(ms, signal);
  };
  const { checkpoint } = await driveThrough(parts, taskFor('a.example'));
  assert.equal(countOf(ca, 'newOrder'), 2);
  assert.equal(checkpoint.lostOrders, 1);
});

test('driveOrder() gives an order up that the CA does not finish within an hour of its first step', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  parts.judge = retrying(parts.clock);
  ca.moving = false;
  parts.clock.turn(9_000_000);
  await assert.rejects(driveThrough(parts, taskFor('a.example')), {
    code: 'unavailable',
    message: 'the CA does not finish the order within an hour',
  });
  assert.equal(ca.presented.size, 0);
  assert.ok(parts.clock.now() <= 9_000_000 + 3_600_000);
  assert.ok(parts.clock.now() > 9_000_000 + 3_600_000 - 20_000, 'and not sooner');
});

test('driveOrder() counts the hour of an order whose beginning is not known from where it was taken up', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca, turnedClock(5_000));
  ca.moving = false;
  await ca.newOrder(taskFor('a.example').identifiers);
  const from = newCheckpoint({ ...newOrderState(), url: ca.order.url, initiated: true });
  await assert.rejects(driveThrough(parts, taskFor('a.example'), { from }), {
    message: 'the CA does not finish the order within an hour',
  });
  assert.ok(parts.clock.now() <= 3_605_000);
});

test('driveOrder() leaves an order at once that its CA works on for hours, and says when to come', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca, turnedClock(5_000));
  const { finalize } = ca;
  const retryAfter = 5_000 + 7_200_000;
  ca.finalize = async (order, csr) => ({ ...(await finalize(order, csr)), retryAfter });
  parts.judge = async () => assert.fail('it is no failure of a step');
  await assert.rejects(driveThrough(parts, taskFor('a.example')), {
    code: 'unavailable',
    retryAfter,
    message: 'the CA is still working on the order, and wants to be asked again at 1970-01-01T02:00:05.000Z',
  });
  const { finalizedAt = 0, ...left } = parts.saved.at(-1)?.order ?? {};
  assert.deepEqual(left, { ...newOrderState(), url: ca.order.url });
  assert.ok(finalizedAt >= 5_000 && finalizedAt <= parts.clock.now());
});

test('driveOrder() sees a validation of seconds within a minute, though the CA asks for a day of patience', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca);
  const { getOrder } = ca;
  ca.moving = false;
  ca.getOrder = async url => {
    ca.moving = parts.clock.now() > 2_000;
    const order = await getOrder(url);
    return order.status === 'pending' ? { ...order, retryAfter: parts.clock.now() + 86_400_000 } : order;
  };
  await driveThrough(parts, taskFor('a.example'));
  assert.ok(parts.clock.now() < 60_000, `${parts.clock.now()}`);
});

test('driveOrder() goes on with the order of an earlier job, and saves that it has it', async () => {
  const ca = scriptCa();
  await ca.newOrder(taskFor('a.example').identifiers);
  const { url } = ca.order;
  const mayOrder = async () => ({ do: 'resume', url, turn: 'counted', finalizedAt: 1 }) as const;
  const parts = { ...partsFor(ca), mayOrder };
  const { checkpoint } = await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual([countOf(ca, 'newOrder'), checkpoint.turn], [1, 'counted']);
  assert.deepEqual(parts.saved[0]?.order, { ...newOrderState(), url, kept: true, finalizedAt: 1 });
});

test('driveOrder() waits to the very end of the hour, and no longer', async () => {
  for (const [hour, issued] of [
    [3_600_000, true],
    [3_600_001, false],
  ] as const) {
    const ca = scriptCa();
    const parts = partsFor(ca, turnedClock(5_000));
    const { finalize } = ca;
    ca.finalize = async (order, csr) => ({ ...(await finalize(order, csr)), retryAfter: 5_000 + hour });
    const driven = driveThrough(parts, taskFor('a.example'));
    if (issued) assert.equal((await driven).chain, 'the chain');
    else await assert.rejects(driven, { code: 'unavailable' });
  }
});

test('driveOrder() knows since when it has been the turn of an order that cannot be made yet', async () => {
  const ca = scriptCa();
  const parts = partsFor(ca, turnedClock(7_000));
  const begun: unknown[] = [];
  parts.judge = async (error, checkpoint) => {
    begun.push(checkpoint.begun);
    return retrying(parts.clock)(error);
  };
  const { newOrder } = ca;
  ca.newOrder = async identifiers => {
    if (begun.length < 3) throw new IssuanceError('unavailable', 'the CA is away');
    return newOrder(identifiers);
  };
  const { checkpoint } = await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual([begun, checkpoint.begun], [[7_000, 7_000, 7_000], 7_000]);
});

test('driveOrder() calls an order gone whose challenges failed that somebody else announced', async () => {
  const ca = scriptCa({ faults: { 'a.example': fault } });
  const task = taskFor('a.example');
  const { url } = await ca.newOrder(task.identifiers);
  await ca.initiateChallenge(ca.authorizations[0]?.challenges[1]?.url ?? '');
  const from = newCheckpoint({ ...newOrderState(), url });
  await assert.rejects(driveThrough(partsFor(ca), task, { from }), {
    code: 'gone',
    message:
      "another job's challenges for this order failed: a.example: NXDOMAIN: add A or AAAA records that lead to a web server, which has to serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry",
  });
});

test('driveOrder() ends with the failure also where the challenges cannot be withdrawn, and warns', async () => {
  const ca = scriptCa({ faults: { 'a.example': fault } });
  const warnings: string[] = [];
  const parts = { ...partsFor(ca), warn: (text: string) => void warnings.push(text) };
  ca.failNext.set('withdraw', new IssuanceError('unavailable', 'Redis cannot be reached'));
  await assert.rejects(driveThrough(parts, taskFor('a.example')), { code: 'challengeFailed' });
  assert.match(warnings.join(), /remain until they expire: Redis cannot be reached/);
});
