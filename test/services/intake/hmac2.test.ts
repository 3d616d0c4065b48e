import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import {
  chain,
  hmac2Header,
  hmacBlock,
  hmacHeader,
  hmacKey,
  issued,
  jobId,
  loopbackBlock,
  openIntake,
} from './open-intake.ts';

const csr = makeCsr({ names: 'DNS:www.example.org' });
const other = makeCsr({ names: 'DNS:www.example.org' });
const pem = makeCertificate({ names: 'DNS:www.example.org' });
const demanding = { ...hmacBlock, hmac: { type: 'sha256', keys: [hmacKey], version: 2 as const } };
const toAnswer = async (response: Response) => [response.status, await response.text()];

for (const [what, block] of [
  ['that demands it', demanding],
  ['that takes both versions', hmacBlock],
] as const)
  test(`a block ${what} admits a post with an HMAC of version 2`, async () => {
    await using intake = await openIntake([block]);
    intake.queue.results.set(jobId, issued);
    assert.deepEqual(await toAnswer(await intake.post(csr, hmac2Header('POST', '/sign', csr))), [200, chain]);
    assert.equal(intake.queue.enqueued[0]?.by, 'hmac key 1');
    const { Authentication: Authorization } = hmac2Header('POST', '/sign', csr);
    assert.equal((await intake.post(csr, { Authorization })).status, 200);
  });

test('hmac = v2 in the only block refuses a post of version 1', async () => {
  await using intake = await openIntake([demanding]);
  const answer = await intake.post(csr, hmacHeader(csr));
  assert.deepEqual(await toAnswer(answer), [
    403,
    'no auth block admits 127.0.0.1 with an HMAC of version 1; it takes one of version 2 (hmac2), as quarry-get sends it\n',
  ]);
});

test('a query is signed: of /sign?x nobody makes /sign?y', async () => {
  await using intake = await openIntake([demanding]);
  intake.queue.results.set(jobId, issued);
  const header = hmac2Header('POST', '/sign?x', csr);
  assert.equal((await intake.post(csr, header, '/sign?y')).status, 403);
  assert.equal((await intake.post(csr, header, '/sign')).status, 403);
  assert.equal((await intake.post(csr, header, '/sign?x')).status, 200);
});

test('the reason of a revocation is signed', async () => {
  await using intake = await openIntake([demanding]);
  const header = hmac2Header('POST', '/revoke?reason=superseded', pem);
  assert.equal((await intake.post(pem, header, '/revoke?reason=keyCompromise')).status, 403);
  assert.equal((await intake.post(pem, header, '/revoke')).status, 403);
  assert.equal((await intake.post(pem, header, '/revoke?reason=superseded')).status, 200);
  assert.deepEqual(
    intake.revokeQueue.enqueued.map(({ reason }) => reason),
    ['superseded'],
  );
});

test('a result is fetched once with each HMAC over its path', async () => {
  await using intake = await openIntake([demanding]);
  intake.queue.blocks.set(jobId, 'hmac');
  intake.queue.results.set(jobId, issued);
  const path = `/sign/${jobId}`;
  const get = (headers: Record<string, string>) => fetch(intake.url + path, { headers });
  const header = hmac2Header('GET', path);
  assert.deepEqual(await toAnswer(await get(header)), [200, chain]);
  assert.deepEqual(await toAnswer(await get(header)), [403, 'it came before\n']);
  assert.equal((await get(hmacHeader(path))).status, 403, 'version 1');
  assert.equal((await get(hmac2Header('GET', '/sign/another'))).status, 403);
  assert.equal((await get(hmac2Header('GET', path))).status, 200);
});

test('a hundred replays of one request are refused, to whatever they are sent and with whatever', async () => {
  await using intake = await openIntake([demanding]);
  intake.queue.results.set(jobId, issued);
  intake.queue.blocks.set(jobId, 'hmac');
  const header = hmac2Header('POST', '/sign', csr);
  assert.equal((await intake.post(csr, header)).status, 200);
  const send = (method: string, path: string, body?: string) =>
    fetch(intake.url + path, { method, headers: header, ...(body !== undefined && { body }) });
  const replays: [what: string, send: () => Promise<Response>, said: string][] = [
    ['the same', () => send('POST', '/sign', csr), 'it came before\n'],
    [
      'another path',
      () => send('POST', '/revoke', csr),
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n',
    ],
    [
      'another body',
      () => send('POST', '/sign', other),
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n',
    ],
    [
      'another query',
      () => send('POST', '/sign?x=1', csr),
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n',
    ],
    [
      'another method',
      () => send('GET', `/sign/${jobId}`),
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n',
    ],
  ];
  for (let round = 0; round < 20; round++)
    for (const [what, replay, said] of replays)
      assert.deepEqual(await toAnswer(await replay()), [403, said], `${what}, round ${round}`);
  assert.deepEqual([intake.queue.enqueued.length, intake.revokeQueue.enqueued.length], [1, 0]);
});

test('where Redis cannot say whether a request came before, it is 503, even from an address that is admitted', async () => {
  const takeOnce = async () => {
    throw new IssuanceError('unavailable', 'Redis cannot be reached');
  };
  await using intake = await openIntake([demanding, loopbackBlock], { takeOnce });
  const answer = await intake.post(csr, hmac2Header('POST', '/sign', csr));
  assert.deepEqual(await toAnswer(answer), [503, 'Redis cannot be reached\n']);
  assert.ok(answer.headers.get('Retry-After'));
  assert.deepEqual(intake.queue.enqueued, []);
});

test('a replay is logged as refused, without its HMAC and nonce', async () => {
  await using intake = await openIntake([demanding]);
  const header = hmac2Header('POST', '/sign', csr);
  for (let at = 0; at < 2; at++) await intake.post(csr, header);
  const [, line] = intake.log.lines.filter(({ msg }) => msg === 'request');
  assert.deepEqual([line?.status, line?.reason], [403, 'it came before']);
  for (const [, secret = ''] of header.Authentication.matchAll(/(?:nonce|hash)=(\w+)/g))
    assert.equal(intake.log.text().includes(secret), false);
});

test('the whole URL as target, as a proxy may send it, is signed as its path and query', async () => {
  await using intake = await openIntake([demanding]);
  intake.queue.results.set(jobId, issued);
  const header = hmac2Header('POST', '/sign?x', csr);
  const status = await new Promise(resolve => {
    const asked = request({
      port: intake.port,
      method: 'POST',
      path: `${intake.url}/sign?x`,
      headers: header,
    });
    asked.once('response', answer => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.end(csr);
  });
  assert.equal(status, 200);
});
