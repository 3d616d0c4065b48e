import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import type { AuthBlock } from '../../../shared/admission/admit.ts';
import type { SignJobData } from '../../../shared/queue/sign-records.ts';
import { makeCsr } from '../../shared/pki/openssl-csr.ts';
import { type JobBench, openJobBench } from './job-parts.ts';

/** What a job ends with, of which the CA must not hear. */
async function refusalOf(bench: JobBench, expected = 'denied'): Promise<string> {
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed', JSON.stringify(end));
  const { code, detail } = end.result.error;
  assert.equal(code, expected);
  assert.deepEqual(bench.ca.calls, []);
  const [event, ...others] = bench.trail;
  assert.deepEqual(others, []);
  assert.deepEqual([event?.event, event?.job, event?.block], ['refused', 'job-1', bench.job.data.block]);
  assert.deepEqual([event?.request, event?.detail], ['request-1', detail]);
  assert.ok(bench.log.lines.some(({ msg, reason }) => msg === 'job refused' && reason === detail));
  return detail;
}

test('a job without a seal is refused before anything of it is looked at', async () => {
  await using bench = await openJobBench();
  bench.job = { ...bench.job, isSealed: false, data: { ...bench.job.data, csr: 'no CSR at all' } };
  bench.records.readJob = async () => assert.fail('nothing is read of it');
  assert.match(await refusalOf(bench), /^this job was not made by an intake or a scheduler of this/);
});

const gone = /^the auth block that admitted this is not configured any more$/;
const changed = /^the configuration has changed since this was posted: post it again$/;
const other = /^what is to be ordered is not what the CSR names$/;
const narrower: Partial<AuthBlock> = { mayHave: ({ value }) => value === 'a.example' };

for (const [what, data, block, refusal] of [
  ['whose block is gone', { block: 'gone' }, {}, gone],
  ['one of whose names its block has no more', {}, narrower, /^not admitted any more: b\.example$/],
  ['whose CSR has a name more', { identifiers: [{ type: 'dns', value: 'a.example' }] }, {}, other],
  ['whose CSR has another name', { csr: makeCsr({ names: 'DNS:a.example,DNS:x.example' }) }, {}, other],
  ['for an account that its block does not order from', { accounts: [{ account: 'rich' }] }, {}, changed],
  ['with a storage of another block', { storage: 'their' }, {}, changed],
  ['with a verification of another block', { solvers: ['http', 'dns'] }, {}, changed],
] as [string, Partial<SignJobData>, Partial<AuthBlock>, RegExp][])
  test(`a job ${what} is refused, with words that say so`, async () => {
    await using bench = await openJobBench();
    const { blocks } = bench.parts;
    const mail = blocks.get('mail');
    assert.ok(mail);
    blocks.set('mail', { ...mail, ...block });
    bench.job = { ...bench.job, data: { ...bench.job.data, ...data } };
    // It is admitted, so its client may come again.
    assert.match(await refusalOf(bench, refusal === changed ? 'unavailable' : 'denied'), refusal);
  });

test('a job for the names of its client is judged by them', async () => {
  await using bench = await openJobBench();
  const { blocks } = bench.parts;
  const mail = blocks.get('mail');
  assert.ok(mail);
  blocks.set('mail', { ...mail, ownNames: ['dns'], mayHave: () => false });
  bench.job = { ...bench.job, data: { ...bench.job.data, clientNames: ['a.example', 'b.example'] } };
  const end = await runSignJob(bench.parts, bench.job, bench.signals);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.deepEqual(bench.trail, []);

  await using again = await openJobBench();
  again.parts.blocks.set('mail', { ...mail, ownNames: ['dns'], mayHave: () => false });
  again.job = { ...again.job, data: { ...again.job.data, clientNames: ['a.example'] } };
  assert.equal(await refusalOf(again), 'not admitted any more: b.example');
});

test('a job that an earlier run has begun gives up what it holds, where its block is gone since', async () => {
  await using bench = await openJobBench();
  const { calls } = bench.ca;
  const push = calls.push.bind(calls);
  calls.push = (...call) => {
    if (call[0]?.startsWith('initiate')) bench.stopping.abort(new Error('stopping'));
    return push(...call);
  };
  await assert.rejects(runSignJob(bench.parts, bench.job, bench.signals), /stopping/);
  assert.ok(bench.ca.presented.size > 0);
  const left: string[] = [];
  bench.records.leaveFlight = async (_, { account }) => void left.push(account);
  bench.parts.blocks.delete('mail');
  const stopping = new AbortController().signal;
  const before = calls.length;
  const end = await runSignJob(bench.parts, bench.job, { ...bench.signals, stopping });
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
  assert.match(end.result.error.detail, gone);
  assert.deepEqual([bench.ca.presented.size, left], [0, ['account']]);
  const asked = calls.slice(before);
  assert.ok(!asked.some(call => /^(newOrder|initiate|present|finalize)/.test(call)), `${asked}`);
});
