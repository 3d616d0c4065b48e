import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  JobProgress,
  keepCertificate,
  patienceOf,
  type SignJob,
  type SignRun,
  toClaim,
} from '../../../services/worker/job.ts';
import { newCheckpoint } from '../../../shared/order/next-step.ts';
import type { Checkpoint } from '../../../shared/order/order-state.ts';
import type { Certificate } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { type JobBench, openJobBench } from './job-parts.ts';

const HOUR = 3_600_000;

async function jobWith(data: Partial<SignJob['data']>): Promise<SignJob> {
  await using bench = await openJobBench();
  return { ...bench.job, createdAt: 1_000, data: { ...bench.job.data, ...data } };
}

/** Where nothing is divided. */
const toRun = (job: SignJob) => ({ job, parts: {} as SignRun['parts'] });

test('a post waits for as long as its client does, and stands in the order in which posts came', async () => {
  const job = await jobWith({ patience: 60_000 });
  assert.equal(patienceOf(job), 61_000);
  assert.equal(patienceOf(await jobWith({ patience: undefined as never })), 1_000);
  const { id, rank, patience } = toClaim(toRun(job), 'account');
  assert.deepEqual([id, rank, patience], ['job-1', 1_000, 61_000]);
});

test('a renewal waits until what it renews ends, at least an hour, and stands by that end', async () => {
  const late = await jobWith({ due: 500 });
  assert.equal(patienceOf(late), 1_000 + HOUR);
  assert.equal(toClaim(toRun(late), 'account').rank, 500);
  assert.equal(patienceOf(await jobWith({ due: 9 * HOUR })), 9 * HOUR);
});

test('JobProgress tells when the first of its orders was begun', async () => {
  const records = { writeCheckpoint: async () => {} };
  const lock = { jobId: 'job-1', token: 'token-1' };
  const begunAt = (begun: number): Checkpoint => ({ ...newCheckpoint(), begun });
  const progress = new JobProgress(records, lock, undefined);
  assert.equal(progress.begun, undefined);
  await progress.saveOrder('first', begunAt(7));
  await progress.saveOrder('second', begunAt(5));
  await progress.saveOrder('third', newCheckpoint());
  assert.equal(progress.begun, 5);
});

const leaf: Certificate = {
  ...{ notBefore: 1_000, notAfter: 2_000, identifiers: [], publicKey: Buffer.alloc(0) },
  ...{ issuer: 'CN=Bench', serial: '01' },
};

/** What is asked and done once a certificate is there. */
async function keep(bench: JobBench, turn: Checkpoint['turn']): Promise<string[]> {
  const acts: string[] = [];
  bench.records.confirmLock = async () => {
    acts.push('confirm');
    return [];
  };
  bench.guard.budget.spendCertificate = async () => void acts.push('count');
  bench.storage.put = async (_csr, _chain, _issuedBy, life) => {
    await Promise.resolve(); // what is planned and counted begins once it is stored
    acts.push(life === leaf ? 'store' : 'store what is to be read again');
  };
  Object.assign(bench.storage, { upkeep: {} });
  bench.parts.renewals.issued = async (_storage, entry) => {
    acts.push(entry.leaf === leaf ? 'plan' : 'plan what is to be read again');
  };
  const { parts, job, signals } = bench;
  const progress = new JobProgress(parts.records, job.lock, undefined);
  const run = { parts, job, csr: readCsr(Buffer.from(job.data.csr)), log: parts.log, progress, signals };
  const issuedBy = { account: 'account', directory: bench.guard.directoryUrl };
  const issued = { outcome: 'issued', block: 'all', chain: '', issuedBy, leaf } as const;
  await keepCertificate(run, bench.guard, { ...newCheckpoint(), turn }, issued);
  return acts;
}

test('a certificate is stored, and then planned and counted where its order was, by whoever has the job', async () => {
  await using bench = await openJobBench();
  assert.deepEqual(await keep(bench, 'counted'), ['confirm', 'store', 'plan', 'count']);
  assert.deepEqual(await keep(bench, 'exempt'), ['confirm', 'store', 'plan']);
});

test('a certificate that is not stored is counted where its order was; else nobody is asked', async () => {
  await using bench = await openJobBench();
  bench.parts.storages.clear();
  assert.deepEqual(await keep(bench, 'counted'), ['confirm', 'count']);
  assert.deepEqual(await keep(bench, 'exempt'), []);
  bench.guard.budget.countsCertificates = false;
  assert.deepEqual(await keep(bench, 'counted'), []);
});
