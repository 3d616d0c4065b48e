import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endWithoutResult } from '../../../services/worker/end-without-result.ts';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import type { Order } from '../../../shared/acme-server/orders.ts';
import { orderRecord } from '../../shared/acme-server/order-record.ts';
import { type JobBench, openJobBench } from './job-parts.ts';

/** A job for the order of an ACME client, as an intake makes it. */
async function openClientJob(more: Partial<Order> = {}): Promise<JobBench> {
  const bench = await openJobBench();
  const order = orderRecord({ status: 'processing', job: bench.job.lock.jobId, ...more });
  bench.orders.kept.set(order.id, order);
  bench.job = {
    ...bench.job,
    data: { ...bench.job.data, storage: '', order: order.id, clientAccount: order.account },
  };
  bench.storage.get = async () => assert.fail('no storage is asked');
  return bench;
}

test("a job for an ACME client's order asks no storage and fills none", async () => {
  await using bench = await openClientJob();
  bench.parts.renewals.issued = async () => assert.fail('nothing of it is renewed ahead');
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued', JSON.stringify(end));
  assert.deepEqual(bench.storage.chains, []);
  const [certificate] = bench.orders.certificates;
  assert.equal(certificate?.chain, end.result.chain);
  const { status, certificate: fingerprint } = bench.orders.kept.get('order-1') ?? {};
  assert.deepEqual([status, fingerprint], ['valid', certificate?.fingerprint]);
});

test('order and account are asked for at once, which spares a round trip', async () => {
  await using bench = await openClientJob();
  const { orders, clientAccounts } = bench.parts;
  const [readOrder, readAccount] = [orders.read, clientAccounts.read];
  const asked = Promise.withResolvers<void>();
  orders.read = async id => {
    await asked.promise;
    return readOrder(id);
  };
  clientAccounts.read = async id => {
    asked.resolve();
    return readAccount(id);
  };
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
});

test('an order that changes while its job ends is ended as it is by then', async () => {
  await using bench = await openClientJob();
  const { orders, records } = bench;
  const { writeResultAfter } = records;
  records.writeResultAfter = async (...args) => {
    records.writeResultAfter = writeResultAfter;
    const order = orders.kept.get('order-1') ?? assert.fail();
    orders.kept.set(order.id, { ...order, profile: 'changed meanwhile' });
    return writeResultAfter(...args);
  };
  await runSignJob(bench.parts, bench.job, bench.signals);
  const { status, profile } = orders.kept.get('order-1') ?? {};
  assert.deepEqual([status, profile], ['valid', 'changed meanwhile']);
  assert.deepEqual([records.results.length, orders.certificates.length], [1, 1]);
});

test('a result is written all the same for an order that is gone by then', async () => {
  await using bench = await openClientJob();
  const { orders, records } = bench;
  const { writeResultAfter } = records;
  records.writeResultAfter = async (...args) => {
    orders.kept.clear();
    return writeResultAfter(...args);
  };
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.deepEqual([records.results.length, orders.certificates.length], [1, 0]);
});

for (const [what, more] of [
  ['has ended', { status: 'invalid' }],
  ['another job works on', { job: 'job-2' }],
  ['is not there any more', { id: 'another order' }],
] as [string, Partial<Order>][])
  test(`a job whose order ${what} orders nothing at the CA`, async () => {
    await using bench = await openClientJob();
    bench.orders.kept.clear();
    const order = orderRecord({ status: 'processing', job: 'job-1', ...more });
    bench.orders.kept.set(order.id, order);
    const end = await runSignJob(bench.parts, bench.job, bench.signals);
    assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
    assert.deepEqual([end.result.error.code, end.result.error.detail], ['denied', 'the order is over']);
    assert.deepEqual(bench.ca.calls, []);
  });

test('a job for an account that was deactivated meanwhile orders nothing at the CA', async () => {
  await using bench = await openClientJob();
  bench.deactivated.add('account-1');
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
  const { code, detail } = end.result.error;
  assert.deepEqual([code, detail], ['denied', 'the client account is deactivated']);
  assert.deepEqual(bench.ca.calls, []);
});

test('a job that BullMQ has failed for good ends its order, too', async () => {
  await using bench = await openClientJob();
  await endWithoutResult(bench.parts, bench.job.lock, bench.job.data);
  const { status, error } = bench.orders.kept.get('order-1') ?? {};
  assert.deepEqual([status, error?.detail], ['invalid', 'internal error']);
});

test('a job that BullMQ has failed after its result was written ends its order with that, and lets no token go', async () => {
  await using bench = await openClientJob();
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  bench.parts.records.publishFailure = async () => assert.fail('it has not failed');
  await endWithoutResult(bench.parts, bench.job.lock, { ...bench.job.data, spends: 'ab'.repeat(32) });
  const { status, certificate } = bench.orders.kept.get('order-1') ?? {};
  assert.deepEqual([status, certificate], ['valid', bench.orders.certificates[0]?.fingerprint]);
});
