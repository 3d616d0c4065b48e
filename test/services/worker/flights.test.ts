import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { type JobBench, leaf, openJobBench } from './job-parts.ts';

/**
 * Two accounts; `held` are those at which the job keeps the same names from others, `entered` where it ever
 * did.
 */
async function openTwo(): Promise<JobBench & { held: Set<string>; entered: string[] }> {
  const bench = await openJobBench({}, {});
  bench.job.data.patience = 60_000;
  const [held, entered] = [new Set<string>(), [] as string[]];
  bench.records.enterFlight = async (_, { account }) => {
    if (!held.has(account)) entered.push(account);
    held.add(account);
    return [];
  };
  bench.records.leaveFlight = async (_, { account }) => void held.delete(account);
  const { writeResult } = bench.records;
  bench.records.writeResult = (lock, result, flight) => {
    held.delete(flight.account);
    return writeResult(lock, result, flight);
  };
  return { ...bench, held, entered };
}

const run = ({ parts, job, signals }: JobBench) => runSignJob(parts, job, signals);

const refusal = (code: IssuanceErrorCode, type: string) =>
  new IssuanceError(code, type, { problem: { type: `urn:ietf:params:acme:error:${type}`, status: 403 } });

test('a job that was issued by its second account keeps the names from nobody, at either', async () => {
  await using bench = await openTwo();
  bench.ca.failNext.set('newOrder', refusal('denied', 'caa'));
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.equal(end.result.issuedBy?.account, 'second');
  assert.deepEqual([bench.entered, [...bench.held]], [['account', 'second'], []]);
});

test('a job that failed at its second account keeps the names from nobody, at either', async () => {
  await using bench = await openTwo();
  bench.ca.failNext.set('newOrder', refusal('denied', 'caa'));
  bench.second.ca.failNext.set('finalize', refusal('badCsr', 'badCSR'));
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
  assert.equal(end.result.error.code, 'badCsr');
  assert.deepEqual([bench.entered, [...bench.held]], [['account', 'second'], []]);
});

test('a job that found the certificate of another account keeps the names from nobody', async () => {
  await using bench = await openTwo();
  const issuedBy = { account: 'second', directory: bench.second.http.directoryUrl };
  bench.storage.get = async () => ({ chain: leaf, leaf: readCertificate(leaf), issuedBy });
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.equal(end.result.issuedBy?.account, 'second');
  assert.deepEqual([bench.entered, [...bench.held]], [['account'], []]);
});
