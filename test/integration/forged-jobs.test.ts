import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, test } from 'node:test';
import { Queue } from 'bullmq';
import { openSeals } from '../../shared/admission/hmac.ts';
import { openSecret } from '../../shared/base/installation.ts';
import { splitChain } from '../../shared/pki/certificate.ts';
import { isSealedData, sealData } from '../../shared/queue/bullmq.ts';
import { REVOKE_QUEUE, type RevokeJobData } from '../../shared/queue/revoke-queue.ts';
import { SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-records.ts';
import { parseEntry } from '../../shared/trail/event.ts';
import { makeCertificate } from '../shared/pki/openssl-csr.ts';
import { ask } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { quietLog } from '../support/quiet-log.ts';
import { waitUntil } from '../support/wait-until.ts';
import { about, assertIssued, post } from './faults/orders.ts';
import { openQueue } from './faults/renewals.ts';

// Whoever can write to Redis, or holds an intake, has no name issued that no auth block admits.

const blocks = '[auth "own"]\nip = 127.0.0.1\ndomain = *.own.example\n';
const prefix = '{quarry}';
const fleet = await startFleet({ blocks });
const parts = new AsyncDisposableStack();
const openJobs = (name: string) =>
  parts.adopt(new Queue(name, { connection: { url: fleet.redis.url }, prefix }), one => one.close());
const [signJobs, revokeJobs] = [openJobs(SIGN_QUEUE), openJobs(REVOKE_QUEUE)];
const queue = parts.use(await openQueue(fleet));
const seals = openSeals(await openSecret(fleet.secretFile, quietLog));
after(async () => {
  await parts.disposeAsync();
  await fleet[Symbol.asyncDispose]();
});
afterEach(() => fleet.letGo());

async function jobFor(name: string, data: Partial<SignJobData> = {}): Promise<SignJobData> {
  const { csrPem } = await makeCsr({ names: [name] });
  return {
    ...{ csr: csrPem, identifiers: [{ type: 'dns', value: name }], accounts: [{ account: 'default' }] },
    ...{ solvers: ['http'], storage: 'none', block: 'own', requestId: randomUUID(), patience: 60_000 },
    ...data,
  };
}

/** The details of the trail's refusals of a job. */
async function refusals(job: string): Promise<string[]> {
  const entries = await fleet.redisClient.xrange(`${prefix}:trail`, '-', '+');
  const events = entries
    .flatMap(([id, fields]) => parseEntry(id, fields))
    .flatMap(({ event }) => event ?? []);
  return events.flatMap(one => (one.event === 'refused' && one.job === job ? (one.detail ?? []) : []));
}

/** Adds a job with BullMQ's own means, and says with what it ends; the CA must not hear of it. */
async function endOf(data: object, jobId: string): Promise<string> {
  fleet.ca.reset();
  await signJobs.add('sign', data, { jobId, attempts: 10, removeOnComplete: true });
  const result = await queue.result(jobId, AbortSignal.timeout(60_000));
  assert.ok(result?.outcome === 'failed', JSON.stringify(result));
  assert.equal(result.error.code, codeOf(result.error.detail));
  assert.deepEqual(fleet.ca.requests(), []);
  assert.deepEqual(await refusals(jobId), [result.error.detail]);
  return result.error.detail;
}

/** What is only to be ordered in another way is for the client to post again. */
const codeOf = (detail: string) => (detail.endsWith(': post it again') ? 'unavailable' : 'denied');

const unsealed = /^this job was not made by an intake or a scheduler of this installation/;

test('a job written by hand is refused, with an event and without a request to the CA', async () => {
  const stranger = await jobFor('www.stranger.example');
  assert.match(await endOf(stranger, randomUUID()), unsealed);
  assert.match(await endOf(await jobFor('www.own.example'), randomUUID()), unsealed, 'whatever it is for');
  const seal = openSeals(Buffer.from('a secret of thirty-three letters.'));
  const id = randomUUID();
  assert.match(
    await endOf(sealData(seal, SIGN_QUEUE, id, stranger), id),
    unsealed,
    'with a secret of its own',
  );
});

test('a job with the seal of another job is refused', async () => {
  const held = fleet.ca.rule({ kind: 'newOrder', do: { hold: 'before' }, times: 1 });
  const honest = await post(fleet, ['true.own.example']);
  await held.hit();
  const [jobId = ''] = await fleet.redisClient.lrange(`${prefix}:sign:active`, 0, -1);
  const data = JSON.parse(`${await fleet.redisClient.hget(`${prefix}:sign:${jobId}`, 'data')}`);
  assert.ok(isSealedData(seals, SIGN_QUEUE, jobId, data));
  const before = fleet.ca.requests().length;
  await signJobs.add('sign', data, { jobId: 'another' });
  await signJobs.add('sign', { ...data, block: 'other' }, { jobId: 'changed' });
  for (const id of ['another', 'changed']) {
    const result = await queue.result(id, AbortSignal.timeout(60_000));
    assert.ok(result?.outcome === 'failed');
    assert.match(result.error.detail, unsealed);
    assert.equal((await refusals(id)).length, 1);
  }
  assert.equal(fleet.ca.requests().length, before);
  held.release();
  await assertIssued(fleet, [honest]);
});

test('a job of an intake that was taken over is judged by what the worker is configured with', async () => {
  const sealed = async (name: string, data: Partial<SignJobData> = {}) => {
    const id = randomUUID();
    return endOf(sealData(seals, SIGN_QUEUE, id, await jobFor(name, data)), id);
  };
  assert.equal(await sealed('www.stranger.example'), 'not admitted any more: www.stranger.example');
  assert.match(
    await sealed('www.own.example', { block: 'gone' }),
    /^the auth block that admitted this is not/,
  );
  const { csrPem: csr } = await makeCsr({ names: ['www.stranger.example'] });
  assert.equal(await sealed('www.own.example', { csr }), 'what is to be ordered is not what the CSR names');
  for (const data of [{ accounts: [{ account: 'rich' }] }, { storage: 'their' }, { solvers: ['their'] }])
    assert.match(
      await sealed('www.own.example', data),
      /^the configuration has changed since this was posted/,
    );
});

test('a post that the configuration of today does not admit is 403 with words that say so', async () => {
  const own = { redis: 'prefix = {changed}' };
  const wider = `${blocks}[auth "wider"]\nip = 127.0.0.1\ndomain = *.wider.example\n`;
  const to = await fleet.start('intake', { ...own, blocks: wider });
  await using _ = await fleet.start('worker', own);
  const { csrPem } = await makeCsr({ names: ['www.wider.example'] });
  fleet.ca.reset();
  const { status, body } = await fleet.post(csrPem, { to });
  assert.deepEqual([status, body], [403, 'the auth block that admitted this is not configured any more\n']);
  assert.deepEqual(fleet.ca.requests().filter(about('www.wider.example')), []);
  await to[Symbol.asyncDispose]();
});

test('a revocation written by hand, or for names that its block has not, is refused', async () => {
  const csr = await makeCsr({ names: ['revoked.own.example'] });
  const { status, body } = await fleet.post(csr.csrPem);
  assert.equal(status, 200, body);
  const [own = ''] = splitChain(body);
  const data: RevokeJobData = {
    ...{ certificate: own, names: ['revoked.own.example'], block: 'own', accounts: ['default'] },
    requestId: randomUUID(),
  };
  const stranger = makeCertificate({ names: 'DNS:www.stranger.example' });
  const sealedFor = (id: string, one: RevokeJobData) => sealData(seals, REVOKE_QUEUE, id, one);
  for (const [job, refusal] of [
    [() => data, /^this job was not made by an intake of this installation/],
    [() => sealedFor('another', data), /^this job was not made by an intake of this installation/],
    [
      (id: string) => sealedFor(id, { ...data, certificate: stranger }),
      /^not admitted any more: www\.stranger/,
    ],
    [(id: string) => sealedFor(id, { ...data, block: 'gone' }), /^the auth block that admitted this is not/],
    [(id: string) => sealedFor(id, { ...data, accounts: ['rich'] }), /^the configuration has changed/],
  ] as const) {
    fleet.ca.reset();
    const jobId = randomUUID();
    const added = await revokeJobs.add('revoke', job(jobId), { jobId });
    await waitUntil('the job to end', async () => (await added.getState()) === 'completed');
    const ended = `${(await revokeJobs.getJob(jobId))?.returnvalue}`;
    const result = JSON.parse(ended.slice(ended.indexOf(' ') + 1));
    assert.equal(result.error.code, codeOf(result.error.detail));
    assert.match(result.error.detail, refusal);
    assert.deepEqual(await refusals(jobId), [`revocation: ${result.error.detail}`]);
    assert.deepEqual(fleet.ca.requests(), []);
  }
  const revoked = await ask(`${fleet.all('intake')[0]?.url}/revoke`, { method: 'POST', body: own });
  assert.deepEqual([revoked.status, revoked.body], [200, 'revoked\n']);
});

test('a result written and published by hand is not handed out, and the true one is', async () => {
  const held = fleet.ca.rule({ kind: 'finalize', do: { hold: 'before' }, times: 1 });
  const honest = await post(fleet, ['waiting.own.example']);
  await held.hit();
  const [jobId = ''] = await fleet.redisClient.lrange(`${prefix}:sign:active`, 0, -1);
  const chain = makeCertificate({ names: 'DNS:waiting.own.example' });
  const result = JSON.stringify({ outcome: 'issued', block: 'own', chain });
  const others = seals.sealOf(`${SIGN_QUEUE} result another`, result);
  for (const text of [result, `${others} ${result}`, '']) {
    await fleet.redisClient.set(`${prefix}:result:${jobId}`, text);
    await fleet.redisClient.publish(`${prefix}:results`, `${jobId} ${text}`);
  }
  await waitUntil('it to be told', async () => (await refusals(jobId)).length > 0);
  assert.match(`${await refusals(jobId)}`, /^what Redis gave as the result of a job bears no seal/);
  const told = fleet.all('intake').flatMap(intake => intake.log());
  assert.ok(told.some(({ job, msg, level }) => job === jobId && level === 40 && /no seal/.test(`${msg}`)));
  held.release();
  await assertIssued(fleet, [honest]);
});
