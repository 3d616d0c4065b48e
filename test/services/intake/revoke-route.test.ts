import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { readCertificate, splitChain } from '../../../shared/pki/certificate.ts';
import { ecKey, makeCertificate, openssl } from '../../shared/pki/openssl-csr.ts';
import { type FakeIntake, hmacBlock, hmacHeader, jobId, loopbackBlock, openIntake } from './open-intake.ts';

const pem = makeCertificate({ names: 'DNS:www.example.org' });
const foreign = makeCertificate({ names: 'DNS:www.example.net' });
const chain = `${pem}\n${makeCertificate({ key: ecKey('P-384') })}`;

const revoke = (
  intake: FakeIntake,
  body = pem,
  { query = '', headers = hmacHeader(body) as Record<string, string> } = {},
) => intake.post(body, headers, `/revoke${query}`);
const toAnswer = async (response: Response) => [response.status, await response.text()];

test('POST /revoke has a worker revoke the first certificate of the body, and answers 200', async () => {
  await using intake = await openIntake();
  assert.deepEqual(await toAnswer(await revoke(intake, chain, { query: '?reason=keycompromise' })), [
    200,
    'revoked\n',
  ]);
  const [{ requestId, ...data } = { requestId: '' }] = intake.revokeQueue.enqueued;
  const [certificate] = splitChain(pem);
  const admitted = { names: ['www.example.org'], block: 'hmac', accounts: ['account'] };
  const asked = { by: 'hmac key 1', client: '127.0.0.1', reason: 'keyCompromise' };
  assert.deepEqual(data, { certificate, ...admitted, ...asked });
  assert.match(requestId, /^[0-9a-f-]{36}$/);
  assert.match(intake.log.text(), new RegExp(`"job":"${jobId}","names":\\["www.example.org"\\]`));
});

test('POST /revoke of a certificate that is revoked already is a success', async () => {
  await using intake = await openIntake();
  intake.revokeQueue.end = { outcome: 'revoked', already: true, account: 'account' };
  assert.deepEqual(await toAnswer(await revoke(intake)), [200, 'revoked already\n']);
});

test('POST /revoke takes a reason as name or code, and none', async () => {
  await using intake = await openIntake();
  for (const query of ['', '?reason=0', '?reason=superseded', '?reason=5']) {
    assert.equal((await revoke(intake, pem, { query })).status, 200, query);
  }
  const reasons = intake.revokeQueue.enqueued.map(({ reason }) => reason);
  assert.deepEqual(reasons, [undefined, 'unspecified', 'superseded', 'cessationOfOperation']);
});

/** Each request is wrong in what its check looks at, and in all that a later check would look at. */
test('the checks of POST /revoke are those of POST /sign, in the same order', async () => {
  const nobody = [{ ...hmacBlock, ips: ['192.0.2.0/24'] }];
  const query = '?reason=3';
  const wrong = { query, headers: hmacHeader('another body') };
  {
    await using intake = await openIntake(nobody);
    const put = await fetch(`${intake.url}/revoke`, { method: 'PUT' });
    assert.deepEqual([put.status, put.headers.get('Allow')], [405, 'POST']);
    const body =
      'no auth block admits 127.0.0.1; add this address as an ip line to an [auth] block on the server, and sign with the hash that hmac_type there names\n';
    assert.deepEqual(await toAnswer(await revoke(intake, 'no certificate', wrong)), [403, body]);
  }
  await using intake = await openIntake();
  const stream = { method: 'POST', body: new Blob(['x']).stream(), headers: wrong.headers, duplex: 'half' };
  const chunked = await fetch(`${intake.url}/revoke`, stream as RequestInit);
  assert.deepEqual(await toAnswer(chunked), [
    411,
    'a Content-Length header is needed: post a file (curl --data-binary @host.csr)\n',
  ]);
  const large = 'x'.repeat(64 * 1024 + 1);
  assert.deepEqual(await toAnswer(await revoke(intake, large, wrong)), [
    413,
    'the certificate is over 65536 bytes: post it alone\n',
  ]);
  assert.deepEqual(await toAnswer(await revoke(intake, 'x', wrong)), [
    403,
    'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n',
  ]);
  const badReason = await revoke(intake, 'x', { query });
  assert.equal(badReason.status, 400);
  assert.match(await badReason.text(), /^reason is one of unspecified \(0\), keyCompromise \(1\), .*\n$/);
  const none = 'not a certificate: no PEM block "CERTIFICATE" was found\n';
  assert.deepEqual(await toAnswer(await revoke(intake, 'x')), [415, none]);
  assert.deepEqual(await toAnswer(await revoke(intake, foreign)), [
    403,
    'not admitted: www.example.net; add it as a domain line to an [auth] block on the server\n',
  ]);
  assert.deepEqual(intake.revokeQueue.enqueued, []);
});

test('POST /revoke is 409 for a certificate that has ended', async () => {
  await using intake = await openIntake();
  intake.clock.turn(readCertificate(pem).notAfter - intake.clock.now());
  const body = 'the certificate has expired; there is nothing to revoke\n';
  assert.deepEqual(await toAnswer(await revoke(intake)), [409, body]);
});

test('POST /revoke refuses names of every kind that the block does not have', async () => {
  await using intake = await openIntake();
  const both = makeCertificate({ names: 'DNS:www.example.org,DNS:www.example.net' });
  assert.deepEqual(await toAnswer(await revoke(intake, both)), [
    403,
    'not admitted: www.example.net; add it as a domain line to an [auth] block on the server\n',
  ]);
  const address = makeCertificate({ names: 'DNS:www.example.org,IP:192.0.2.1' });
  assert.deepEqual(await toAnswer(await revoke(intake, address)), [
    403,
    'not admitted: 192.0.2.1; add it as an address line to an [auth] block on the server\n',
  ]);
  const mail = makeCertificate({ names: 'DNS:www.example.org,email:a@example.org' });
  const others = 'the certificate has names that are neither hosts nor addresses\n';
  assert.deepEqual(await toAnswer(await revoke(intake, mail)), [403, others]);
});

test('POST /revoke says what to do about a certificate with its names in the CN alone', async () => {
  await using intake = await openIntake();
  const subject = ['-days', '9', '-subj', '/CN=www.example.org'];
  const bare = openssl('req', '-x509', '-new', '-key', ecKey(), ...subject);
  const [status, text] = await toAnswer(await revoke(intake, bare));
  assert.equal(status, 403);
  assert.match(
    `${text}`,
    /no subjectAltName.*an operator can revoke it with quarry acme reg … cert revoke\n$/,
  );
});

for (const [code, status, retryAfter] of [
  ['denied', 403, null],
  ['unknown', 404, null],
  ['rateLimited', 429, '3600'],
  ['unavailable', 503, '5'],
  ['internal', 500, null],
] as const)
  test(`POST /revoke answers ${status} when the job ends with ${code}`, async () => {
    await using intake = await openIntake();
    intake.revokeQueue.end = { outcome: 'failed', error: { code, detail: 'the CA refused' } };
    const answer = await revoke(intake);
    assert.deepEqual([answer.status, answer.headers.get('Retry-After')], [status, retryAfter]);
    assert.equal(await answer.text(), code === 'internal' ? 'internal error\n' : 'the CA refused\n');
  });

test('POST /revoke is 503 where Redis cannot be reached, and when the wait is over or the intake stops', async () => {
  await using intake = await openIntake();
  intake.revokeQueue.end = undefined;
  const late = 'the certificate is still being revoked: post it again\n';
  assert.deepEqual(await toAnswer(await revoke(intake)), [503, late]);
  intake.stopping.abort();
  assert.deepEqual(await toAnswer(await revoke(intake)), [503, 'the server restarts: post it again\n']);
  intake.revokeQueue.fault = new IssuanceError('unavailable', 'Redis cannot be reached');
  assert.deepEqual(await toAnswer(await revoke(intake)), [503, 'Redis cannot be reached\n']);
});

test('POST /revoke needs no HMAC where the block needs none', async () => {
  await using intake = await openIntake([loopbackBlock]);
  assert.equal((await revoke(intake, pem, { headers: {} })).status, 200);
});
