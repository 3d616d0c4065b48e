import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAccount, findAccount, readTermsOfService } from '../../../shared/acme/account.ts';
import { startFakeCa } from './fake-ca.ts';
import { accountKeyPem, connect, never } from './open-connection.ts';

test('createAccount() sends contact, agreement and external binding, and answers with URL and object', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  const said = { contact: ['mailto:a@example.org'], termsOfServiceAgreed: true };
  const eab = { kid: 'kid-1', hmacKey: 'c2VjcmV0' };
  const { url, object } = await createAccount(connection, accountKeyPem, { ...said, eab }, never);
  assert.equal(url, `${ca.url}/account/1`);
  const { externalAccountBinding, ...sent } = ca.requests.at(-1)?.payload ?? {};
  assert.deepEqual(sent, said);
  assert.deepEqual(Object.keys(externalAccountBinding as object).sort(), [
    'payload',
    'protected',
    'signature',
  ]);
  assert.deepEqual(object.contact, said.contact);
});

test('findAccount() finds the account of a key, makes none, and knows when there is none', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  assert.equal(await findAccount(connection, accountKeyPem, never), undefined);
  const { url } = await createAccount(connection, accountKeyPem, { termsOfServiceAgreed: false }, never);
  assert.deepEqual(ca.requests.at(-1)?.payload, {});
  assert.equal((await findAccount(connection, accountKeyPem, never))?.url, url);
});

test('readTermsOfService() reads the URL of the terms where the CA has some', async () => {
  await using ca = await startFakeCa();
  for (const [meta, terms] of [
    [{ termsOfService: 'https://ca.example/terms' }, 'https://ca.example/terms'],
    [{ termsOfService: 7 }, undefined],
    [null, undefined],
  ] as const) {
    ca.meta = meta;
    using connection = connect(ca.directoryUrl);
    assert.equal(await readTermsOfService(connection, never), terms);
  }
});
