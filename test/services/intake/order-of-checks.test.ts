import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { readCsr } from '../../../shared/pki/csr.ts';
import { csrKeyDigest } from '../../../shared/pki/public-key.ts';
import { makeCsr } from '../../shared/pki/openssl-csr.ts';
import { type FakeIntake, hmacBlock, hmacHeader, openIntake } from './open-intake.ts';

const csr = makeCsr({ names: 'DNS:www.example.org' });
const foreign = makeCsr({ names: 'DNS:www.example.net' });
const weak = makeCsr({ names: 'DNS:www.example.org', options: ['-sha1'] });
const nobody = [{ ...hmacBlock, ips: ['192.0.2.0/24'] }];

type Check = {
  status: number;
  body: string;
  path?: string;
  method?: string;
  send?: string;
  headers?: object;
};

/** Each request is wrong in what its check looks at, and in all that a later check would look at. */
const wrong = { send: weak, headers: { 'Content-Length': '' } };

async function assertAnswer(intake: FakeIntake, { status, body, path = '/sign', ...asked }: Check) {
  const { method = 'POST', send, headers = {} } = asked;
  const { 'Content-Length': length, ...others } = headers as Record<string, string>;
  const chunked = length === '' && send !== undefined;
  const stream = chunked ? new Blob([send]).stream() : send;
  const options = {
    method,
    headers: others,
    ...(stream && { body: stream }),
    ...(chunked && { duplex: 'half' }),
  };
  const answer = await fetch(`${intake.url}${path}`, options as RequestInit);
  assert.deepEqual([answer.status, await answer.text()], [status, `${body}\n`]);
  assert.match(answer.headers.get('X-Request-Id') ?? '', /^[0-9a-f-]{36}$/);
  assert.deepEqual(intake.queue.enqueued, []);
  return answer;
}

test('a wrong path is 404, whatever else is wrong', async () => {
  await using intake = await openIntake(nobody);
  const body = 'no such path; post a CSR to /sign, or a certificate to /revoke';
  const spellings = [
    '/SIGN',
    '/Sign',
    '/sign/',
    '/REVOKE',
    '/revoke/',
    '/SIGN/x',
    '/sign/x/',
    '//sign',
    '/%73ign',
  ];
  for (const path of ['/', '/signs', '/.well-known/x', '/sign/a/b', ...spellings]) {
    await assertAnswer(intake, { status: 404, body, path, method: 'PUT', ...wrong });
  }
});

test('a wrong method is 405 with Allow, whatever else is wrong but the path', async () => {
  await using intake = await openIntake(nobody);
  const answer = await assertAnswer(intake, {
    status: 405,
    body: 'only POST is possible here: curl --data-binary @host.csr posts a CSR',
    method: 'PUT',
    ...wrong,
  });
  assert.equal(answer.headers.get('Allow'), 'POST');
  const got = await assertAnswer(intake, {
    status: 405,
    body: 'only POST is possible here: curl --data-binary @host.csr posts a CSR',
    method: 'GET',
  });
  assert.equal(got.headers.get('Allow'), 'POST');
  const fetched = {
    path: '/sign/x',
    method: 'POST',
    body: 'only GET is possible here: it fetches the result',
  };
  assert.equal(
    (await assertAnswer(intake, { status: 405, ...fetched, ...wrong })).headers.get('Allow'),
    'GET',
  );
});

test('a client that no block can match is 403 before its body is looked at', async () => {
  await using intake = await openIntake(nobody);
  const body =
    'no auth block admits 127.0.0.1 without an HMAC in an Authentication header, or a token; use quarry-get with --hmac-key-file or --token-file, or add this address as an ip line to an [auth] block on the server';
  await assertAnswer(intake, { status: 403, body, ...wrong });
  await using other = await openIntake([hmacBlock]);
  await assertAnswer(other, { status: 403, body, ...wrong });
});

test('a body without Content-Length is 411', async () => {
  await using intake = await openIntake();
  const headers = { ...hmacHeader('another body'), 'Content-Length': '' };
  await assertAnswer(intake, {
    status: 411,
    body: 'a Content-Length header is needed: post a file (curl --data-binary @host.csr)',
    send: weak,
    headers,
  });
});

test('a body over max-size is 413, and is not read', async () => {
  await using intake = await openIntake([hmacBlock], { maxSize: 100 });
  const asked = { send: weak, headers: hmacHeader('another body') };
  const answer = await assertAnswer(intake, {
    status: 413,
    body: 'the CSR is over 100 bytes: post it alone',
    ...asked,
  });
  assert.equal(answer.headers.get('Connection'), 'close');
});

test('a wrong HMAC is 403 before the CSR is looked at', async () => {
  await using intake = await openIntake();
  const headers = hmacHeader('another body');
  await assertAnswer(intake, {
    status: 403,
    body: 'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)',
    send: 'not a CSR',
    headers,
  });
  const otherHash = { Authentication: 'hmac name=sha512, hash=00' };
  const body =
    'no auth block admits 127.0.0.1; add this address as an ip line to an [auth] block on the server, and sign with the hash that hmac_type there names';
  await assertAnswer(intake, { status: 403, body, send: 'not a CSR', headers: otherHash });
});

for (const header of ['Authentication', 'Authorization'])
  test(`a repeated ${header} header is refused, also where one of the two is right`, async () => {
    await using intake = await openIntake();
    const right = hmacHeader(csr).Authentication;
    const wrong = hmacHeader('another body').Authentication;
    for (const values of [
      [right, wrong],
      [wrong, right],
    ]) {
      const asked = request(`${intake.url}/sign`, { method: 'POST' });
      asked.setHeader(header, values).end(csr);
      const [answer] = (await once(asked, 'response')) as [IncomingMessage];
      assert.equal(answer.statusCode, 403, values.join());
      answer.destroy();
    }
    const alone = { [header]: right };
    await intake.post(csr, alone);
    assert.equal(intake.queue.enqueued.length, 1);
  });

test('an unacceptable CSR is 415 with one line that says why, before its names are looked at', async () => {
  await using intake = await openIntake();
  const weakForeign = makeCsr({ names: 'DNS:www.example.net', options: ['-sha1'] });
  for (const [send, body] of [
    ['not a CSR', 'the body holds no PEM certificate request: post the file itself .*'],
    [csr + csr, 'the body holds more than one CSR: post one at a time'],
    [weakForeign, /sha-?1/i],
    [csr.replace(/\n[^-]{20}/, '\nAAAAAAAAAAAAAAAAAAAA'), /./],
  ] as const) {
    const answer = await intake.post(send);
    const text = await answer.text();
    assert.equal(answer.status, 415, text);
    assert.match(text, typeof body === 'string' ? new RegExp(`^${body}\n$`) : body);
    assert.equal(text.split('\n').length, 2);
  }
  assert.deepEqual(intake.queue.enqueued, []);
});

test('names that the block does not have are 403, and the first of them is named', async () => {
  await using intake = await openIntake();
  const body = 'not admitted: www.example.net; add it as a domain line to an [auth] block on the server';
  await assertAnswer(intake, { status: 403, body, send: foreign, headers: hmacHeader(foreign) });
});

test('what passes all checks is enqueued with its names, and nothing of the block is told', async () => {
  await using intake = await openIntake();
  await intake.post(csr);
  const [{ requestId, ...job } = { requestId: '' }] = intake.queue.enqueued;
  assert.deepEqual(job, {
    csr,
    identifiers: [{ type: 'dns', value: 'www.example.org' }],
    publicKey: csrKeyDigest(readCsr(Buffer.from(csr)).der),
    ...{ accounts: [{ account: 'account' }], solvers: ['http'], storage: 'kept', block: 'hmac', patience: 0 },
    ...{ by: 'hmac key 1', client: '127.0.0.1' },
  });
  assert.match(requestId, /^[0-9a-f-]{36}$/);
});
