import assert from 'node:assert/strict';
import { createHmac, createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { createAccount, findAccount, readTermsOfService, rolloverKey } from '../../../shared/acme/account.ts';
import { generateKeyPem } from '../../../shared/pki/private-key.ts';
import { startWithAccount } from './account-ready.ts';
import { type Jws, problem, startFakeCa } from './fake-ca.ts';
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

for (const kind of ['externalAccountRequired', 'userActionRequired', 'invalidContact', 'unsupportedContact'])
  test(`findAccount() takes ${kind} for the word that there is none yet`, async () => {
    await using ca = await startFakeCa();
    using connection = connect(ca.directoryUrl);
    ca.on('/new-account', () => problem(403, kind, 'the CA wants more of a new account'));
    assert.equal(await findAccount(connection, accountKeyPem, never), undefined);
  });

test('findAccount() passes on what says nothing of whether there is an account', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  for (const [status, kind, code] of [
    [403, 'unauthorized', 'misconfigured'],
    [429, 'rateLimited', 'rateLimited'],
    [404, 'malformed', 'gone'],
  ] as const) {
    ca.on('/new-account', () => problem(status, kind, 'no'));
    await assert.rejects(findAccount(connection, accountKeyPem, never), { code });
  }
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

const readJson = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString());
const publicJwk = (keyPem: string) => createPublicKey(keyPem).export({ format: 'jwk' });

for (const [form, hmacKey] of [
  ['base64url', '-_Z2c2VjcmV0IQ'],
  ['base64', '+/Z2c2VjcmV0IQ=='],
] as const)
  test(`createAccount() binds the key by HS256 with a MAC key in ${form} (RFC 8555 section 7.3.4)`, async () => {
    await using ca = await startFakeCa();
    using connection = connect(ca.directoryUrl);
    const eab = { kid: 'kid-1', hmacKey };
    await createAccount(connection, accountKeyPem, { termsOfServiceAgreed: true, eab }, never);
    const binding = ca.requests.at(-1)?.payload?.externalAccountBinding as Jws;
    assert.deepEqual(readJson(binding.protected), {
      alg: 'HS256',
      kid: 'kid-1',
      url: `${ca.url}/new-account`,
    });
    assert.deepEqual(readJson(binding.payload), publicJwk(accountKeyPem));
    const mac = createHmac('sha256', Buffer.from('fbf67673656372657421', 'hex'));
    const expected = mac.update(`${binding.protected}.${binding.payload}`).digest('base64url');
    assert.equal(binding.signature, expected);
  });

test('rolloverKey() proves the new key to the account, and the old one to the CA (RFC 8555 section 7.3.5)', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.resources = { keyChange: `${ca.url}/key-change` };
  delete connection.directory;
  ca.on('/key-change', () => ({ body: {} }));
  const keyPem = await generateKeyPem('P-384');
  assert.deepEqual(await rolloverKey(connection, account, keyPem, never), { keyPem, url: account.url });

  const { kid, payload } = ca.requests.at(-1) ?? {};
  assert.equal(kid, account.url); // whose signature the CA has checked
  const inner = payload as Jws;
  assert.deepEqual(readJson(inner.protected), {
    alg: 'ES384',
    url: `${ca.url}/key-change`,
    jwk: publicJwk(keyPem),
  });
  assert.deepEqual(readJson(inner.payload), { account: account.url, oldKey: publicJwk(accountKeyPem) });
  const key = { key: createPublicKey(keyPem), dsaEncoding: 'ieee-p1363' } as const;
  const input = Buffer.from(`${inner.protected}.${inner.payload}`);
  assert.equal(verify('sha384', input, key, Buffer.from(inner.signature, 'base64url')), true);
});
