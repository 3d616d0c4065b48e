import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import Koa from 'koa';
import { patienceOf, readBody } from '../../../services/intake/routes/sign.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import type { SignResult } from '../../../shared/queue/sign-records.ts';
import { ecKey, makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import { listen } from '../../support/listen.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import {
  chain,
  hmacBlock,
  hmacHeader,
  issued,
  jobId,
  loopbackBlock,
  openIntake,
  ownAccount,
  unreadable,
} from './open-intake.ts';

const csr = makeCsr({ names: 'DNS:www.example.org' });
const pem = makeCertificate({ names: 'DNS:www.example.org' });
const foreignPem = makeCertificate({ names: 'DNS:www.example.net' });
const toStored = (pem: string) => ({ chain: pem, leaf: readCertificate(pem) });

test('POST /sign answers 200 with the chain', async () => {
  await using intake = await openIntake();
  intake.queue.results.set(jobId, issued);
  const answer = await intake.post(csr);
  assert.deepEqual([answer.status, await answer.text()], [200, chain]);
  assert.equal(answer.headers.get('Content-Type'), 'application/pem-certificate-chain');
  assert.deepEqual(intake.queue.promised, []);
});

test('POST /sign answers from the storage without a job', async () => {
  await using intake = await openIntake();
  intake.stored.value = toStored(pem);
  const answer = await intake.post(csr);
  assert.deepEqual([answer.status, await answer.text(), intake.queue.enqueued], [200, pem, []]);
  assert.deepEqual(intake.fetches, ['hmac']);
});

test('POST /sign orders for an unusual key only where the account takes any, and else answers 415', async () => {
  const unusual = makeCsr({ key: ecKey('P-521'), names: 'DNS:www.example.org' });
  await using intake = await openIntake();
  const answer = await intake.post(unusual);
  assert.equal(answer.status, 415);
  assert.equal(await answer.text(), "the key's curve is P-521; take P-256 or P-384\n");
  assert.deepEqual(intake.queue.enqueued, []);

  const accounts = [{ account: 'account' }, { account: 'own', anyKey: true as const }];
  await using open = await openIntake([{ ...hmacBlock, accounts }]);
  assert.equal((await open.post(unusual)).status, 503);
  assert.equal((await open.post(csr)).status, 503);
  assert.deepEqual(
    open.queue.enqueued.map(job => job.accounts.map(({ account }) => account)),
    [['own'], ['account', 'own']],
  );
});

test('POST /sign gives no stored certificate to a block that may not have its names', async () => {
  await using intake = await openIntake();
  intake.stored.value = toStored(foreignPem);
  const answer = await intake.post(csr);
  assert.equal(answer.status, 503);
  assert.equal(intake.queue.enqueued.length, 1);
});

test('POST /sign answers 503 where the storage of the block cannot be read, and orders nothing', async () => {
  await using intake = await openIntake();
  intake.stored.value = unreadable();
  intake.queue.results.set(jobId, issued);
  const answer = await intake.post(csr);
  assert.deepEqual([answer.status, await answer.text()], [503, 'what is stored cannot be read\n']);
  assert.match(answer.headers.get('Retry-After') ?? '', /^\d+$/);
  assert.deepEqual(intake.queue.enqueued, []);
});

test('POST /sign judges the CSR and its names before it says that the storage cannot be read', async () => {
  await using intake = await openIntake();
  intake.stored.value = unreadable();
  assert.equal((await intake.post(makeCsr({ names: 'DNS:www.example.net' }))).status, 403);
});

test('POST /sign orders for a block whose storage can be read, whatever another block of the client has', async () => {
  const other: AuthBlockConfig = {
    ...hmacBlock,
    name: 'other',
    storage: 'broken',
    domains: ['*.example.com'],
  };
  await using intake = await openIntake([other, hmacBlock]);
  intake.queue.results.set(jobId, issued);
  assert.equal((await intake.post(csr)).status, 200);
});

test('POST /sign says in X-Quarry-Account which account issued, from storage and from a job, where it is known', async () => {
  await using intake = await openIntake();
  const issuedBy = { account: 'zerossl', directory: 'https://ca.example/directory' };
  const account = async () => (await intake.post(csr)).headers.get('X-Quarry-Account');
  intake.queue.results.set(jobId, issued);
  assert.equal(await account(), null);
  const named = { ...issued, issuedBy };
  intake.queue.results.set(jobId, named);
  assert.equal(await account(), 'zerossl');
  intake.stored.value = toStored(pem);
  assert.equal(await account(), null);
  const kept = { ...toStored(pem), issuedBy: ownAccount };
  intake.stored.value = kept;
  assert.equal(await account(), 'account');
  intake.stored.value = { ...kept, issuedBy };
  assert.equal(
    await account(),
    'zerossl',
    'a job, as the block does not order from the account of the stored one',
  );
});

test('POST /sign answers 403 with the reason for a blocked key, stored or not, to clients that are admitted', async () => {
  await using intake = await openIntake();
  intake.blockedKeys.set(parseCsr(readCsr(Buffer.from(csr)).der).publicKey, {
    reason: 'it is public',
    at: 0,
  });
  intake.stored.value = toStored(pem);
  const answer = await intake.post(csr);
  const told = 'the public key is blocked since 1970-01-01T00:00:00Z; make a new key: it is public\n';
  assert.deepEqual([answer.status, await answer.text()], [403, told]);
  intake.stored.value = undefined;
  intake.limit.value = new StandingLimitError('denied', 'blocked');
  assert.deepEqual([(await intake.post(csr)).status, intake.queue.enqueued], [403, []]);
  const foreign = await intake.post(makeCsr({ names: 'DNS:www.example.net' }));
  assert.equal(
    await foreign.text(),
    'not admitted: www.example.net; add it as a domain line to an [auth] block on the server\n',
  );
});

const limited = { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many' };

for (const [code, status, retryAfter] of [
  ['denied', 403, null],
  ['badCsr', 415, null],
  ['challengeFailed', 421, null],
  ['rateLimited', 429, '3600'],
  ['unavailable', 503, '5'],
  ['gone', 503, '5'],
  ['misconfigured', 500, null],
  ['unexpected', 500, null],
  ['internal', 500, null],
] as const)
  test(`POST /sign answers ${status} when the job ends with ${code}`, async () => {
    await using intake = await openIntake();
    intake.queue.results.set(jobId, {
      outcome: 'failed',
      block: 'hmac',
      error: { code, detail: 'one\nline' },
    });
    const answer = await intake.post(csr);
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get('Retry-After'), retryAfter);
    assert.equal(answer.headers.get('Content-Type'), 'text/plain; charset=utf-8');
    assert.equal(await answer.text(), code === 'internal' ? 'internal error\n' : 'one line\n');
  });

for (const Accept of [
  'application/problem+json',
  'application/json',
  'application/json;q=0.9, text/plain;q=0.1',
])
  test(`POST /sign answers an error as a problem document for Accept: ${Accept}`, async () => {
    await using intake = await openIntake();
    const identifier = { type: 'dns', value: 'www.example.org' };
    const subproblems = [{ ...limited, identifier }];
    const problem = { type: 'urn:ietf:params:acme:error:compound', subproblems };
    const error = { code: 'rateLimited', detail: 'too many', problem, retryAfter: 1_030_001 } as const;
    intake.queue.results.set(jobId, { outcome: 'failed', block: 'hmac', error });
    const answer = await intake.post(csr, { ...hmacHeader(csr), Accept });
    assert.equal(answer.headers.get('Content-Type'), 'application/problem+json');
    assert.equal(answer.headers.get('Retry-After'), '31');
    const instance = `urn:uuid:${answer.headers.get('X-Request-Id')}`;
    assert.deepEqual(await answer.json(), { ...{ status: 429, detail: 'too many', instance }, ...problem });
  });

for (const Accept of ['*/*', 'text/html', 'text/plain, application/json;q=0.5'])
  test(`POST /sign answers an error in a line of text for Accept: ${Accept}`, async () => {
    await using intake = await openIntake();
    const answer = await intake.post('x', { ...hmacHeader('x'), Accept });
    assert.equal(answer.headers.get('Content-Type'), 'text/plain; charset=utf-8');
    assert.equal(
      await answer.text(),
      'the body holds no PEM certificate request: post the file itself (curl --data-binary @host.csr)\n',
    );
  });

test('POST /sign sends a plain client away with 503 when its wait is over, and remembers it', async () => {
  await using intake = await openIntake();
  const answer = await intake.post(csr);
  assert.deepEqual([answer.status, answer.headers.get('Retry-After')], [503, '5']);
  assert.match(await answer.text(), /^the certificate is still being worked on: post the same CSR again\n$/);
  assert.deepEqual(intake.queue.promised, [jobId]);
});

for (const [prefer, applied] of [
  ['respond-async', 'respond-async'],
  ['wait=0', 'wait'],
] as const)
  test(`POST /sign answers 202 to Prefer: ${prefer}`, async () => {
    await using intake = await openIntake([hmacBlock], { wait: 60 });
    const answer = await intake.post(csr, { ...hmacHeader(csr), Prefer: prefer });
    const header = (name: string) => answer.headers.get(name);
    assert.deepEqual(
      [answer.status, header('Location'), header('Retry-After')],
      [202, `/sign/${jobId}`, '5'],
    );
    assert.equal(header('Preference-Applied'), applied);
    assert.deepEqual(intake.queue.promised, [jobId]);
  });

test('POST /sign answers 200 to Prefer where the certificate is there', async () => {
  await using intake = await openIntake();
  intake.queue.results.set(jobId, issued);
  assert.equal((await intake.post(csr, { ...hmacHeader(csr), Prefer: 'respond-async' })).status, 200);
});

test('POST /sign is 503 where the queue or the limits cannot be reached', async () => {
  await using intake = await openIntake();
  intake.queue.fault = new IssuanceError('unavailable', 'Redis cannot be reached');
  const answer = await intake.post(csr, { ...hmacHeader(csr), Prefer: 'respond-async' });
  assert.deepEqual([answer.status, answer.headers.get('Retry-After')], [503, '5']);
  assert.equal(await answer.text(), 'Redis cannot be reached\n');
});

test('POST /sign is refused with a limit that stands, without a job', async () => {
  await using intake = await openIntake();
  intake.limit.value = new IssuanceError('rateLimited', 'too many', { retryAfter: 1_060_000 });
  const answer = await intake.post(csr);
  assert.deepEqual(
    [answer.status, answer.headers.get('Retry-After'), intake.queue.enqueued],
    [429, '60', []],
  );
});

test('a bug is a 500 without details, and an error in the log', async () => {
  await using intake = await openIntake();
  intake.queue.fault = new TypeError('secret of the house');
  const answer = await intake.post(csr);
  assert.deepEqual([answer.status, await answer.text()], [500, 'internal error\n']);
  assert.match(intake.log.text(), /"level":50.*secret of the house.*"msg":"request failed"/);
});

test('all who wait get 503 at once when the intake stops', async () => {
  await using intake = await openIntake([hmacBlock], { wait: 3600 });
  const waiting = [intake.post(csr), intake.post(csr, { ...hmacHeader(csr), Prefer: 'wait=3600' })];
  await waitUntil('both to wait', () => intake.queue.waiting === 2);
  intake.stopping.abort();
  for (const answer of await Promise.all(waiting)) {
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /^the server restarts/);
  }
});

test('a client that goes away while it waits frees its waiter, and its next post finds the job', async () => {
  await using intake = await openIntake([loopbackBlock], { wait: 3600 });
  const asking = request(`${intake.url}/sign`, { method: 'POST', headers: { 'Content-Length': csr.length } });
  asking.on('error', () => {});
  asking.end(csr);
  await waitUntil('it to wait', () => intake.queue.waiting === 1);
  asking.destroy();
  await waitUntil('its waiter to go', () => intake.queue.waiting === 0);
  await waitUntil('the promise', () => intake.queue.promised.length === 1);
});

test('clients that were answered leave nothing behind that waits for the intake to stop', async () => {
  await using intake = await openIntake([loopbackBlock]);
  await intake.post(csr);
  intake.queue.results.set(jobId, issued);
  await intake.post(csr);
  await intake.post('no certificate', {}, '/revoke');
  await intake.post(pem, {}, '/revoke');
  assert.deepEqual(getEventListeners(intake.stopping.signal, 'abort'), []);
});

test('POST /sign takes a body that comes in pieces, as it was posted', async () => {
  await using intake = await openIntake();
  intake.queue.results.set(jobId, issued);
  const headers = { ...hmacHeader(csr), 'Content-Length': csr.length };
  const asking = request(`${intake.url}/sign`, { method: 'POST', headers });
  asking.flushHeaders();
  for (const piece of csr.match(/.{1,200}/gs) ?? [])
    await new Promise(done => asking.write(piece, () => setImmediate(done)));
  asking.end();
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  answer.resume();
  assert.equal(answer.statusCode, 200);
});

test('a client that left before its body was read, or before its wait began, holds up nothing', async () => {
  const { promise, resolve } = Promise.withResolvers<[unknown, boolean]>();
  const app = new Koa();
  app.use(async ctx => {
    await new Promise(done => ctx.res.once('close', done));
    const body = await readBody(ctx, 4096).catch(error => error);
    const { signal: stopping } = new AbortController();
    using patience = patienceOf(ctx, { clock: turnedClock(0), wait: 3600, stopping });
    resolve([body, patience.signal.aborted]);
  });
  await using server = await listen(app.callback());
  const socket = connect(server.port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf', () => socket.destroy());
  const [body, isOver] = await promise;
  assert.match(String(body), /the body ended early/);
  assert.equal(isOver, true);
});

test('a client that goes away in the middle of its body is no error of the server', async () => {
  await using intake = await openIntake([loopbackBlock]);
  const socket = connect(intake.port, '127.0.0.1');
  socket.write('POST /sign HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf', () => socket.destroy());
  await waitUntil('the request to end', () => intake.log.lines.some(({ msg }) => msg === 'request'));
  assert.deepEqual(
    intake.log.lines.filter(({ level }) => Number(level) >= 50),
    [],
  );
});

test('POST /sign believes X-Forwarded-For from a trusted proxy only', async () => {
  const elsewhere = { ...loopbackBlock, ips: ['192.0.2.7'] };
  const headers = { 'X-Forwarded-For': '192.0.2.7' };
  await using open = await openIntake([elsewhere]);
  assert.equal((await open.post(csr, headers)).status, 403);
  await using behind = await openIntake([elsewhere], { trusted: ['127.0.0.0/8'] });
  behind.queue.results.set(jobId, issued satisfies SignResult);
  assert.equal((await behind.post(csr, headers)).status, 200);
  assert.equal((await behind.post(csr, { 'X-Forwarded-For': '192.0.2.7, 203.0.113.1' })).status, 403);
  assert.equal((await behind.post(csr, { 'X-Forwarded-For': '192.0.2.7:51234' })).status, 200);
});

test('a client of which the proxy names no address is not taken for the proxy, but refused, and that is logged', async () => {
  await using intake = await openIntake([{ ...loopbackBlock, all: true }], { trusted: ['127.0.0.0/8'] });
  intake.queue.results.set(jobId, issued satisfies SignResult);
  assert.equal((await intake.post(csr, { 'X-Forwarded-For': '' })).status, 200, 'from the proxy itself');
  for (const [forwardedFor, why] of [
    ['unknown', 'X-Forwarded-For has "unknown", which is no address: the client is not known'],
    ['127.0.0.1,', 'X-Forwarded-For has an empty entry: the client is not known'],
  ] as const) {
    const answer = await intake.post(csr, { 'X-Forwarded-For': forwardedFor });
    assert.deepEqual([answer.status, await answer.text()], [403, `${why}\n`]);
    const line = intake.log.lines.findLast(({ msg }) => msg === 'request');
    assert.deepEqual([line?.status, line?.client, line?.reason], [403, '127.0.0.1', why]);
  }
});

test('several X-Forwarded-For headers are read as one', async () => {
  await using intake = await openIntake([{ ...loopbackBlock, ips: ['192.0.2.7'] }], {
    trusted: ['127.0.0.0/8', '10.0.0.0/8'],
  });
  intake.queue.results.set(jobId, issued satisfies SignResult);
  const status = (...values: string[]) =>
    new Promise(resolve => {
      const asked = request({ port: intake.port, method: 'POST', path: '/sign' });
      asked.setHeader('X-Forwarded-For', values).once('response', answer => {
        answer.resume();
        resolve(answer.statusCode);
      });
      asked.end(csr);
    });
  assert.equal(await status('192.0.2.7', '10.0.0.2'), 200);
  assert.equal(await status('192.0.2.7', '203.0.113.1'), 403);
  assert.equal(await status('192.0.2.7', ''), 403);
});
