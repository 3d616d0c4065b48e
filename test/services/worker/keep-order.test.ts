import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import type { IssuanceError } from '../../../shared/base/errors.ts';
import { type KeptOrder, StandingLimitError } from '../../../shared/limits/standing-limit.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { acmeError, problem } from '../../shared/acme/fake-ca.ts';
import { testSeals } from '../../support/test-seals.ts';
import { type JobBench, jobData, openJobBench } from './job-parts.ts';

// What a job that ends without a certificate leaves to the next post of the same CSR.

const HOUR = 3_600_000;

/** A bench whose CA keeps what is known of CSRs; `over` are the keys that ends made void. */
async function openKeeping(...accounts: [] | [object]) {
  const bench = await openJobBench({}, ...accounts);
  const known: { csr: string; error: IssuanceError; order: KeptOrder | undefined }[] = [];
  bench.guard.limits.rememberCsr = async (csr, _, error, order) => void known.push({ csr, error, order });
  bench.guard.limits.findKept = () => known.at(-1)?.order;
  const over: (string[] | undefined)[] = [];
  const { writeResult } = bench.records;
  bench.records.writeResult = async (lock, result, flight, keys) => {
    over.push(keys);
    return writeResult(lock, result, flight, keys);
  };
  return Object.assign(bench, { known, over });
}

async function runToEnd(bench: JobBench) {
  for (let runs = 0; runs < 2_000; runs++) {
    const end = await runSignJob(bench.parts, bench.job, bench.signals);
    if (end.end === 'finished') return end.result;
    bench.clock.turn(Math.max(end.until - bench.clock.now(), 0));
  }
  throw new Error('the job comes to no end');
}

function nextJob(bench: JobBench): void {
  bench.records.checkpoints.length = 0;
  bench.records.results.length = 0;
  bench.job = { ...bench.job, lock: { ...bench.job.lock, jobId: 'job-2' }, createdAt: bench.clock.now() };
}

const newOrders = ({ http }: JobBench) => http.log().filter(one => one === 'POST /new-order').length;

/** The CA approves by hand, and says so. */
function approveByHand(bench: JobBench, seconds: string | undefined): void {
  for (const path of ['/finalize/1', '/order/1']) {
    bench.http.on(path, async () => {
      if (path === '/finalize/1') await bench.ca.finalize(bench.ca.order, Buffer.from(''));
      else if (bench.ca.order.status === 'pending') await bench.ca.getOrder('');
      const { url: _, ...body } = bench.ca.order;
      if (seconds === undefined || body.status !== 'processing') return { body };
      return { body, headers: { 'Retry-After': seconds } };
    });
  }
}

for (const [what, seconds, code, least] of [
  ['asks to come again in hours', '14400', 'unavailable', 4 * HOUR],
  ['works on it for more than an hour', undefined, 'unavailable', 60_000],
] as const)
  test(`the order of a CA that ${what} is kept, and the next post goes on with it`, async () => {
    await using bench = await openKeeping();
    bench.guard.budget.takeOrder = async () => undefined;
    approveByHand(bench, seconds);
    const began = bench.clock.now();
    const result = await runToEnd(bench);
    assert.ok(result.outcome === 'failed' && result.error.code === code, JSON.stringify(result));
    const { retryAfter = 0 } = result.error;
    assert.ok(retryAfter >= began + least && retryAfter <= bench.clock.now() + least + 1_000);
    const url = `${bench.http.url}/order/1`;
    const order = { url, account: 'account', certificateProfile: undefined, turn: 'counted' };
    const { finalizedAt, seal, ...kept } = bench.known[0]?.order ?? {};
    assert.deepEqual(kept, order);
    assert.match(`${seal}`, /^[0-9a-f]{64}$/);
    assert.ok(finalizedAt !== undefined && finalizedAt >= began && finalizedAt < began + 60_000);
    assert.match(bench.log.text(), /the order is kept for the next post of the same/);

    bench.ca.order.status = 'valid';
    bench.ca.order.certificate = `${bench.http.url}/cert/1`;
    nextJob(bench);
    let spent = 0;
    bench.guard.budget.takeOrder = async () => assert.fail('it was counted when it was made');
    bench.guard.budget.spendCertificate = async () => void spent++;
    assert.equal((await runToEnd(bench)).outcome, 'issued');
    assert.deepEqual([newOrders(bench), spent], [1, 1]);
    assert.match(bench.log.text(), /order taken up again/);
    assert.deepEqual(bench.over, [[], ['failures', `csr ${bench.known[0]?.csr.slice(0, 4)}`]]);
  });

test('an order that was kept after its finalize was cut off is not finalized again at once', async () => {
  await using bench = await openKeeping();
  let finalized = 0;
  bench.http.on('/finalize/1', () => {
    finalized++;
    bench.clock.turn(30_000);
    return { status: 504, headers: { 'Retry-After': '14400' }, body: 'Gateway Time-out' };
  });
  assert.equal((await runToEnd(bench)).outcome, 'failed');
  const { getOrder } = bench.ca;
  let asked = 0;
  bench.ca.getOrder = async url => {
    if (++asked === 3)
      Object.assign(bench.ca.order, { status: 'valid', certificate: `${bench.http.url}/cert/1` });
    return getOrder(url);
  };
  nextJob(bench);
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  assert.deepEqual([finalized, asked], [1, 3]);
});

test('an order that was kept and has come to nothing since is forgotten, and a new one made', async () => {
  await using bench = await openKeeping();
  approveByHand(bench, '14400');
  await runToEnd(bench);
  bench.http.on('/order/1', () => problem(404, 'malformed', 'no such order'));
  nextJob(bench);
  const { newOrder } = bench.ca;
  bench.ca.newOrder = async identifiers => {
    bench.http.on('/order/1', async () => {
      const { url: _, ...body } = await bench.ca.getOrder('');
      return { body };
    });
    bench.http.on('/finalize/1', async () => {
      const { url: _, ...body } = await bench.ca.finalize(bench.ca.order, Buffer.from(''));
      return { body };
    });
    return newOrder(identifiers);
  };
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  assert.equal(newOrders(bench), 2);
});

test('an order that was kept and is invalid now makes the next post fail, and is kept no longer', async () => {
  await using bench = await openKeeping();
  approveByHand(bench, '14400');
  await runToEnd(bench);
  bench.ca.order.status = 'invalid';
  bench.ca.order.error = { type: acmeError('caa'), detail: 'not any more' };
  nextJob(bench);
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'failed' && result.error.code === 'denied');
  assert.deepEqual(bench.over.at(-1), [`csr ${bench.known[0]?.csr.slice(0, 4)}`]);
});

test('an order that was kept is forgotten also where the one in its place cannot be made', async () => {
  await using bench = await openKeeping();
  approveByHand(bench, '14400');
  await runToEnd(bench);
  bench.http.on('/order/1', () => problem(404, 'malformed', 'no such order'));
  bench.http.on('/new-order', () => problem(403, 'rejectedIdentifier', 'no'));
  nextJob(bench);
  assert.equal((await runToEnd(bench)).outcome, 'failed');
  assert.deepEqual(bench.over.at(-1), [`csr ${bench.known[0]?.csr.slice(0, 4)}`]);
});

test('an order that was kept is not asked for, and stays kept, while anything but a limit on new orders stands', async () => {
  await using bench = await openKeeping();
  approveByHand(bench, '14400');
  await runToEnd(bench);
  nextJob(bench);
  const { length } = bench.http.log();
  for (const code of ['unavailable', 'challengeFailed', 'denied'] as const) {
    const retryAfter = bench.clock.now() + 2 * HOUR; // after the end of the job
    bench.guard.limits.findStanding = () => new StandingLimitError(code, 'come back', { retryAfter });
    nextJob(bench);
    const result = await runToEnd(bench);
    assert.ok(result.outcome === 'failed' && result.error.code === code, JSON.stringify(result));
    assert.deepEqual([bench.over.at(-1), bench.known.length], [[], 1]);
    assert.equal(bench.http.log().length, length, 'the CA is asked nothing');
  }
  const ofNewOrders = new StandingLimitError('rateLimited', 'of new orders');
  bench.guard.limits.findStanding = keys => (keys.length === 0 ? ofNewOrders : undefined); // none on the key
  bench.ca.order.status = 'valid';
  bench.ca.order.certificate = `${bench.http.url}/cert/1`;
  nextJob(bench);
  const result = await runToEnd(bench);
  assert.equal(result.outcome, 'issued', JSON.stringify(result));
});

test('an order that was kept gets no certificate for a key that was blocked meanwhile', async () => {
  await using bench = await openKeeping();
  approveByHand(bench, '14400');
  await runToEnd(bench);
  bench.ca.order.status = 'valid';
  bench.ca.order.certificate = `${bench.http.url}/cert/1`;
  nextJob(bench);
  bench.guard.limits.blockedKey = () => 'a key';
  bench.records.confirmLock = async (_, keys = []) => keys.map(() => 'blocked');
  const blocked = new StandingLimitError('denied', 'the public key is blocked');
  bench.guard.limits.findStanding = (_, values) => (values.includes('blocked') ? blocked : undefined);
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'failed' && result.error.code === 'denied', JSON.stringify(result));
  assert.deepEqual(bench.storage.chains, []);
});

/** Two accounts, each at a CA of its own; what is kept at each, and what the end of the job makes void. */
async function openTwo() {
  const bench = await openKeeping({});
  bench.job.data.patience = 60_000;
  const kept: [string, string, string | undefined][] = [];
  for (const { guard } of [bench, bench.second]) {
    guard.limits.csrKey = () => `csr at ${guard.name}`;
    guard.limits.rememberCsr = async (_, __, { code }, order) =>
      void kept.push([guard.name, code, order?.url]);
  }
  return Object.assign(bench, { kept });
}

/** The first CA goes away at finalize, for longer than its account is waited for. */
function goAway({ http, guard }: JobBench): void {
  http.on('/finalize/1', () => {
    guard.breaker.opened = async () => ({ since: 0, reason: 'x' });
    guard.breaker.answered = async () => assert.fail('to give up is no success');
    return { ...problem(503, 'serverInternal', 'away'), headers: { 'Retry-After': '7200' } };
  });
}

test('the order of an account that was left is kept, and what ended at the other is not', async () => {
  await using bench = await openTwo();
  goAway(bench);
  bench.second.http.on('/finalize/1', async () => {
    await bench.second.ca.finalize(bench.second.ca.order, Buffer.from(''));
    const { url: _, certificate: __, ...body } = bench.second.ca.order;
    const error = { type: acmeError('caa'), detail: 'not any more' };
    return { body: { ...body, status: 'invalid', error } };
  });
  assert.equal((await runToEnd(bench)).outcome, 'failed');
  assert.deepEqual(bench.kept, [['account', 'unavailable', `${bench.http.url}/order/1`]]);
  assert.deepEqual(bench.over, [['csr at second']]);
});

test('what another account has refused the CSR for is no reason to keep an order there, nor does it end what is known', async () => {
  await using bench = await openTwo();
  goAway(bench);
  bench.second.http.on('/finalize/1', () => problem(400, 'badPublicKey', 'weak key'));
  assert.equal((await runToEnd(bench)).outcome, 'failed');
  assert.deepEqual(bench.kept, [
    ['second', 'badCsr', undefined],
    ['account', 'unavailable', `${bench.http.url}/order/1`],
  ]);
  assert.deepEqual(bench.over, [[]]);
});

/** An order as a worker keeps it. */
function sealed(order: KeptOrder, digest = readCsr(Buffer.from(jobData.csr)).digest): KeptOrder {
  return { ...order, seal: testSeals.sealOf(`kept order ${digest}`, JSON.stringify(order)) };
}

for (const [what, made] of [
  [
    'for another certificate profile',
    (url: string) => sealed({ ...ofAccount(url), certificateProfile: 'short' }),
  ],
  ['without a seal', (url: string) => ofAccount(url)],
  ['of another CSR', (url: string) => sealed(ofAccount(url), 'the digest of another')],
  ['whose URL was changed', (url: string) => ({ ...sealed(ofAccount('https://ca.example/1')), url })],
] as const)
  test(`an order that is kept ${what} is not gone on with`, async () => {
    await using bench = await openKeeping();
    const url = `${bench.http.url}/order/9`;
    bench.guard.limits.findKept = () => made(url);
    assert.equal((await runToEnd(bench)).outcome, 'issued');
    assert.equal(newOrders(bench), 1);
    assert.ok(!bench.http.log().some(line => line.includes('/order/9')), 'the CA is not asked for it');
  });

const ofAccount = (url: string): KeptOrder => ({ url, account: 'account' });

for (const kind of ['badCSR', 'badPublicKey'])
  test(`a CSR that the CA refuses once the order is ready is remembered, in its words (${kind})`, async () => {
    await using bench = await openKeeping();
    bench.http.on('/finalize/1', () => problem(400, kind, 'weak key'));
    const result = await runToEnd(bench);
    assert.ok(result.outcome === 'failed' && result.error.code === 'badCsr');
    assert.deepEqual(
      bench.known.map(({ error, order }) => [error.code, error.message, order]),
      [['badCsr', 'the CA refused: weak key', undefined]],
    );
    assert.deepEqual(bench.over, [[]]);
  });

test('what is wrong with the order and not with the CSR is not remembered of the CSR', async () => {
  for (const [path, type] of [
    ['/new-order', 'malformed'],
    ['/finalize/1', 'rejectedIdentifier'],
    ['/finalize/1', 'malformed'],
    ['/finalize/1', 'unauthorized'],
  ] as const) {
    await using bench = await openKeeping();
    bench.http.on(path, () => problem(400, type, 'no'));
    assert.equal((await runToEnd(bench)).outcome, 'failed');
    assert.deepEqual(bench.known, []);
    assert.equal(bench.over[0]?.length, path === '/finalize/1' ? 1 : 0, 'an order that was kept is not');
  }
});

test('a CSR that was refused before costs no order, and goes to another account where only this CA has something against it', async () => {
  for (const [type, outcome] of [
    ['badCSR', 'failed'],
    ['badPublicKey', 'issued'],
  ] as const) {
    await using bench = await openKeeping({});
    const refusal = { type: acmeError(type), detail: 'no' };
    bench.guard.limits.findStanding = () => new StandingLimitError('badCsr', 'no', { problem: refusal });
    bench.job.data.patience = 60_000;
    assert.equal((await runToEnd(bench)).outcome, outcome);
    assert.equal(newOrders(bench), 0);
    assert.equal(jobData.accounts.length, 1);
  }
});
