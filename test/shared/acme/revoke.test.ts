import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { revokeCertificate } from '../../../shared/acme/revoke.ts';
import { makeCertificate } from '../pki/openssl-csr.ts';
import { startWithAccount } from './account-ready.ts';
import { type CaAnswer, problem } from './fake-ca.ts';
import { never } from './open-connection.ts';

const pem = makeCertificate();
const certificate = new X509Certificate(pem).raw.toString('base64url');

async function startRevoking(answer: CaAnswer) {
  const ready = await startWithAccount();
  ready.ca.resources = { revokeCert: `${ready.ca.url}/revoke` };
  delete ready.connection.directory;
  ready.ca.on('/revoke', () => answer);
  return ready;
}

test('revokeCertificate() sends the certificate as the account, and the code of a reason', async () => {
  await using ready = await startRevoking({});
  const { ca, connection, account } = ready;
  assert.equal(await revokeCertificate(connection, account, pem, undefined, never), true);
  assert.deepEqual([ca.requests.at(-1)?.kid, ca.requests.at(-1)?.payload], [account.url, { certificate }]);
  await revokeCertificate(connection, account, pem + makeCertificate(), 'keyCompromise', never);
  assert.deepEqual(ca.requests.at(-1)?.payload, { certificate, reason: 1 });
});

test('revokeCertificate() of a certificate that is revoked already is a success', async () => {
  await using ready = await startRevoking(problem(400, 'alreadyRevoked', 'revoked before'));
  assert.equal(await revokeCertificate(ready.connection, ready.account, pem, 'superseded', never), false);
});

for (const [status, kind, code] of [
  [403, 'unauthorized', 'denied'],
  [400, 'badRevocationReason', 'denied'],
  [404, 'malformed', 'unknown'],
  [400, 'malformed', 'unknown'],
  [400, 'accountDoesNotExist', 'gone'],
  [429, 'rateLimited', 'rateLimited'],
  [500, 'serverInternal', 'unavailable'],
] as const)
  test(`revokeCertificate() rejects with ${code} for ${kind} (${status})`, async () => {
    await using ready = await startRevoking(problem(status, kind, 'the reason'));
    const revoking = revokeCertificate(ready.connection, ready.account, pem, undefined, never);
    await assert.rejects(revoking, { code, message: 'the CA refused: the reason' });
  });
