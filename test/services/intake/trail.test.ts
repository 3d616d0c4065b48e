import assert from 'node:assert/strict';
import { hash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { openRefusals } from '../../../services/intake/refusals.ts';
import type { Admission } from '../../../shared/admission/admit.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import {
  chain,
  type FakeIntake,
  hmacBlock,
  hmacHeader,
  issued,
  jobId,
  loopbackBlock,
  openIntake,
} from './open-intake.ts';

const csr = makeCsr({ names: 'DNS:www.example.org' });
const foreign = makeCsr({ names: 'DNS:www.example.net' });
const { raw, serialNumber } = new X509Certificate(chain);
const what = {
  ...{ names: ['www.example.org'], serial: serialNumber.toLowerCase(), fingerprint: hash('sha256', raw) },
};
const who = { block: 'hmac', by: 'hmac key 1', client: '127.0.0.1' };
const at = 1_000_000;
const unavailable = new IssuanceError('unavailable', 'Redis cannot be reached');

/** As they would be in Redis. */
const written = (events: readonly TrailEvent[]) => JSON.parse(JSON.stringify(events));

test('an admitted post is in the trail with who asked and its job, before its answer', async () => {
  await using intake = await openIntake();
  intake.queue.results.set(jobId, issued);
  const answer = await intake.post(csr);
  const request = answer.headers.get('X-Request-Id');
  const names = ['www.example.org'];
  assert.deepEqual(written(intake.trail.events), [
    { at, event: 'admitted', names, ...who, request, job: jobId },
  ]);
});

test('a certificate from a storage is in the trail with who got it', async () => {
  await using intake = await openIntake();
  const issuedBy = { account: 'account', directory: 'https://ca.example.org/directory' };
  intake.stored.value = { chain, leaf: readCertificate(chain), issuedBy };
  for (let time = 0; time < 2; time++) {
    const request = (await intake.post(csr)).headers.get('X-Request-Id');
    const event = { at, event: 'handed-out', ...what, account: 'account', ...who, request };
    assert.deepEqual(written(intake.trail.events.splice(0)), [event]);
  }
});

test('a result that is fetched is in the trail with who got it', async () => {
  await using intake = await openIntake();
  intake.queue.blocks.set(jobId, 'hmac');
  intake.queue.results.set(jobId, {
    ...issued,
    issuedBy: { account: 'account', directory: '' },
  } as typeof issued);
  const path = `/sign/${jobId}`;
  const answer = await fetch(intake.url + path, { headers: hmacHeader(path) });
  assert.equal(await answer.text(), chain);
  const request = answer.headers.get('X-Request-Id');
  const event = { at, event: 'handed-out', ...what, account: 'account', ...who, request, job: jobId };
  assert.deepEqual(written(intake.trail.events), [event]);
});

test('no certificate goes out whose event cannot be written', async () => {
  await using intake = await openIntake();
  intake.trail.fault = unavailable;
  intake.queue.blocks.set(jobId, 'hmac');
  intake.queue.results.set(jobId, issued);
  const posted = await intake.post(csr);
  assert.deepEqual([posted.status, await posted.text()], [503, 'Redis cannot be reached\n']);
  const path = `/sign/${jobId}`;
  const fetched = await fetch(intake.url + path, { headers: hmacHeader(path) });
  assert.deepEqual([fetched.status, await fetched.text()], [503, 'Redis cannot be reached\n']);
  intake.stored.value = { chain, leaf: readCertificate(chain) };
  const stored = await intake.post(csr);
  assert.deepEqual([stored.status, await stored.text()], [503, 'Redis cannot be reached\n']);
  assert.equal(stored.headers.get('Content-Type'), 'text/plain; charset=utf-8');
});

test('refusals are in the trail, with what was asked for; a wrong path or method is none', async () => {
  await using intake = await openIntake();
  const refused = await intake.post(foreign);
  assert.equal(refused.status, 403);
  await fetch(`${intake.url}/sign`);
  await fetch(`${intake.url}/nothing`);
  const request = refused.headers.get('X-Request-Id');
  const detail = 'not admitted: www.example.net; add it as a domain line to an [auth] block on the server';
  assert.deepEqual(written(intake.trail.events), [
    { at, event: 'refused', names: ['www.example.net'], ...who, request, detail },
  ]);
});

/** What the trail says of who was refused, and for which names. */
const refusedOf = ({ trail }: FakeIntake) =>
  trail.events
    .filter(({ event }) => event === 'refused')
    .map(({ block, by, client, names }) => ({ block, by, client, names }));

const names = ['www.example.org'];
const failed = { outcome: 'failed', error: { code: 'denied', detail: 'the CA refuses' } } as const;
const limited = new StandingLimitError('rateLimited', 'too many');

const refusals: [string, (intake: FakeIntake) => void, body?: string][] = [
  ['its CSR', () => {}, 'no CSR'],
  ['a limit', intake => Object.assign(intake.limit, { value: limited })],
  ['a full queue', intake => Object.assign(intake.queue, { fault: limited })],
  ['the end of its job', intake => intake.queue.results.set(jobId, { ...issued, ...failed })],
];

for (const [why, prepare, body = csr] of refusals) {
  test(`a client that is refused for ${why} is in the trail with its block, and how that knows it`, async () => {
    await using intake = await openIntake();
    prepare(intake);
    await intake.post(body);
    const asked = body === csr ? names : undefined;
    assert.deepEqual(refusedOf(intake), [{ ...who, names: asked }]);
  });
}

test('of several blocks that know a refused client, that which has the names is in the trail, else all', async () => {
  await using intake = await openIntake([{ ...loopbackBlock, domains: ['*.example.com'] }, hmacBlock]);
  intake.limit.value = limited;
  await intake.post(csr);
  await intake.post(foreign);
  const all = { block: 'loopback, hmac', by: 'address, hmac key 1', client: who.client };
  assert.deepEqual(refusedOf(intake), [
    { ...who, names },
    { ...all, names: ['www.example.net'] },
  ]);
});

test('a client that is refused for its rate is in the trail with the block whose rate it is', async () => {
  const refuse = async () => {
    throw new IssuanceError('rateLimited', 'too many', { blocks: [{ name: 'slow', by: 'token web1' }] });
  };
  const toRated = (admission: Admission) => ({ ...admission, verified: refuse });
  await using intake = await openIntake([hmacBlock], { toRated });
  await intake.post(csr);
  assert.deepEqual(refusedOf(intake), [
    { block: 'slow', by: 'token web1', client: who.client, names: undefined },
  ]);
});

test('a revocation or a fetch that is refused is in the trail with its block, a stranger with none', async () => {
  await using intake = await openIntake();
  const foreignCertificate = makeCertificate({ names: 'DNS:www.example.net' });
  await intake.post(foreignCertificate, hmacHeader(foreignCertificate), '/revoke');
  intake.revokeQueue.fault = limited;
  await intake.post(chain, hmacHeader(chain), '/revoke');
  intake.queue.blocks.set(jobId, 'hmac');
  intake.queue.results.set(jobId, { ...issued, ...failed });
  await fetch(`${intake.url}/sign/${jobId}`, { headers: hmacHeader(`/sign/${jobId}`) });
  await intake.post(csr, hmacHeader('another body'));
  // Of one client the others of the second come together, as one.
  await waitUntil('the next second', () => refusedOf(intake).length === 3);
  assert.deepEqual(refusedOf(intake), [
    { ...who, names: ['www.example.net'] },
    { block: undefined, by: undefined, client: who.client, names: undefined },
    { ...who, names: undefined },
  ]);
  assert.equal(intake.trail.events.at(-1)?.count, 2);
});

test('a refusal stays one where the trail cannot be written, and is counted', async () => {
  await using intake = await openIntake();
  intake.trail.fault = unavailable;
  assert.equal((await intake.post(foreign)).status, 403);
  intake.trail.fault = undefined;
  await waitUntil('the next second', () => intake.trail.events.length === 1);
  assert.equal(intake.trail.events[0]?.count, 1);
});

const refusal = (client: string, request = '') => ({
  client,
  request,
  detail:
    'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)',
});

test('a flood of one address is two events a second, of many addresses some dozens, and none is lost', async () => {
  const events: TrailEvent[] = [];
  const trail = { write: async (event: TrailEvent) => void events.push(event) };
  {
    await using refusals = openRefusals(trail, turnedClock(0), quietLog);
    for (let n = 0; n < 1_000; n++) await refusals.note(refusal('192.0.2.1', `${n}`));
    for (let n = 0; n < 1_000; n++) await refusals.note(refusal(`2001:db8::${n.toString(16)}`));
  }
  const total = events.reduce((sum, { count = 1 }) => sum + count, 0);
  assert.equal(total, 2_000);
  assert.ok(events.length <= 52, `${events.length} events`);
  const ofOne = events.filter(({ client }) => client === '192.0.2.1');
  assert.deepEqual(
    ofOne.map(({ request, count }) => [request, count]),
    [
      ['0', undefined],
      ['999', 999],
    ],
  );
});

test('counts that cannot be written are written once they can be', async () => {
  let fault: Error | undefined = unavailable;
  const counts: number[] = [];
  const trail = {
    async write({ count = 1 }: TrailEvent) {
      if (fault) throw fault;
      counts.push(count);
    },
  };
  const refusals = openRefusals(trail, turnedClock(0), quietLog);
  for (let n = 0; n < 5; n++) await refusals.note(refusal('192.0.2.1'));
  await refusals[Symbol.asyncDispose]();
  fault = undefined;
  await refusals[Symbol.asyncDispose]();
  assert.deepEqual(counts, [5]);
});

test('what a stranger says is cut to a length', async () => {
  const events: TrailEvent[] = [];
  await using cutting = openRefusals(
    { write: async event => void events.push(event) },
    turnedClock(0),
    quietLog,
  );
  const long = Array.from({ length: 1_000 }, (_, n) => `n${n}.example`);
  await cutting.note({ client: '::1', names: long, detail: 'x'.repeat(10_000) });
  assert.deepEqual([events[0]?.names?.length, events[0]?.detail?.length], [100, 500]);
});
