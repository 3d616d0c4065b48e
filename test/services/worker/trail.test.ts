import assert from 'node:assert/strict';
import { hash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { type JobBench, leaf, names, openJobBench } from './job-parts.ts';

const { raw, serialNumber } = new X509Certificate(leaf);
const certificate = { serial: serialNumber.toLowerCase(), fingerprint: hash('sha256', raw) };

/** What the trail was told of a job of a client at 192.0.2.1, without what all of its events say. */
async function tell(bench: JobBench, more: object = {}) {
  const data = { ...bench.job.data, by: 'hmac key 2', client: '192.0.2.1', ...more };
  await runSignJob(bench.parts, { ...bench.job, data }, bench.signals);
  return bench.records.told.map(({ event, beside }) => {
    const { at, block, by, client, request, job, names: told, ...rest } = event;
    assert.equal(typeof at, 'number');
    assert.deepEqual([block, request, job], ['mail', bench.job.data.requestId, bench.job.lock.jobId]);
    assert.deepEqual(told, names);
    return { by, client, ...JSON.parse(JSON.stringify(rest)), ...(beside?.length && { beside }) };
  });
}

const who = { by: 'hmac key 2', client: '192.0.2.1', account: 'account' };

test('an order and its certificate are in the trail, with who asked; the inventory gets the certificate', async () => {
  await using bench = await openJobBench();
  const [ordered, issued, ...more] = await tell(bench);
  assert.deepEqual(more, []);
  const { detail, ...order } = ordered ?? {};
  assert.deepEqual(order, { ...who, event: 'ordered' });
  assert.ok(detail.startsWith(`${bench.http.url}/`), detail);
  assert.deepEqual(issued, {
    ...who,
    event: 'issued',
    ...certificate,
    beside: ['leaf', raw.toString('base64')],
  });
});

test('a renewal that no client waits for says so', async () => {
  await using bench = await openJobBench();
  const events = await tell(bench, { by: undefined, client: undefined, due: bench.clock.now() + 86_400_000 });
  assert.deepEqual(
    events.map(({ by }) => by),
    ['renewal', 'renewal'],
  );
});

test('a job that ends without a certificate is in the trail with the reason', async () => {
  await using bench = await openJobBench();
  bench.guard.budget.takeOrder = async () => {
    throw new IssuanceError('denied', 'the CA refuses it');
  };
  assert.deepEqual(await tell(bench), [{ ...who, event: 'failed', detail: 'the CA refuses it' }]);
});

test('a certificate that another job has got meanwhile is handed out, and issued to nobody twice', async () => {
  await using bench = await openJobBench();
  const stored = {
    chain: leaf,
    leaf: readCertificate(leaf),
    issuedBy: { account: 'account', directory: bench.http.directoryUrl },
  };
  bench.parts.storages = new Map([['kept', { ...bench.storage, get: async () => stored }]]);
  assert.deepEqual(await tell(bench), [{ ...who, event: 'handed-out', ...certificate }]);
});
