import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, suite, test } from 'node:test';
import { kindOf } from '../support/acme-answers.ts';
import { type AcmeClient, openAcmeClient, type Twist, toCsrField, toDns } from '../support/acme-client.ts';
import { type Alg, makeClientKey, toClientKey } from '../support/acme-jws.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { freePort } from '../support/free-port.ts';
import { startPebble } from '../support/pebble.ts';

// The tests' own ACME client, against a server that others made: so its demands are what servers fulfil.

const key = 'binding-key-of-the-tests-0123456';
const pebble = await startPebble({
  httpPort: await freePort(),
  env: { PEBBLE_VA_ALWAYS_VALID: '1' },
  config: { externalAccountMACKeys: { 'kid-1': Buffer.from(key).toString('base64url') } },
});
after(() => pebble[Symbol.asyncDispose]());
const ca = await readFile(pebble.caFile, 'utf8');

async function open(alg: Alg = 'ES256'): Promise<AcmeClient> {
  const { directoryUrl } = pebble;
  const client = await openAcmeClient({ directoryUrl, ca, key: makeClientKey(alg), lapses: ['no-store'] });
  after(() => client[Symbol.dispose]());
  return client;
}

// Pebble has no EdDSA.
for (const alg of ['ES256', 'ES384', 'ES512', 'RS256'] as const)
  test(`a client with a key of ${alg} makes an account and finds it again`, async () => {
    const client = await open(alg);
    const made = await client.newAccount({ termsOfServiceAgreed: true }, { eab: { kid: 'kid-1', key } });
    assert.equal(made.status, 201, made.body);
    const again = await client.newAccount({ onlyReturnExisting: true });
    assert.equal(again.headers.location, made.headers.location);
    assert.equal((await client.readAccount()).status, 'valid');
  });

test('a client orders, proves, finalizes, fetches, changes its key and revokes', async () => {
  const client = await open();
  await client.newAccount({ termsOfServiceAgreed: true });
  const names = ['a.example.org', 'b.example.org'];
  const placed = await client.newOrder({ identifiers: toDns(...names) });
  for (const url of placed.order.authorizations) {
    const { challenges } = await client.readAuthorization(url);
    await client.respond(challenges.find(({ type }) => type === 'http-01')?.url ?? '');
    while ((await client.readAuthorization(url)).status === 'pending');
  }
  const { csrPem, keyPem } = await makeCsr({ names });
  const order = await client.finalize(placed, csrPem);
  const chain = await client.certificate(order.certificate ?? '');
  assertChain(chain.replaceAll('-----\n-----', '-----\n\n-----'), {
    names,
    keyPem,
    rootPem: await pebble.rootPem(),
  });

  assert.equal((await client.changeKey(makeClientKey('ES384'))).status, 200);
  assert.equal((await client.readAccount()).status, 'valid');

  const certificate = toCsrField(chain.slice(0, chain.indexOf('-----END')));
  const byKey = { jwk: true as const, key: toClientKey(createPrivateKey(keyPem)) };
  const revoked = await client.post(client.directory.revokeCert, { certificate }, byKey);
  assert.equal(revoked.status, 200, revoked.body);
  const again = await client.post(client.directory.revokeCert, { certificate });
  assert.equal(kindOf(again.problem), 'alreadyRevoked');
});

suite('the client can do wrong', async () => {
  const client = await open();
  const rows: [what: string, twist: Twist, kind: string][] = [
    ['a nonce of its own making', { header: header => ({ ...header, nonce: 'AAAA' }) }, 'badNonce'],
    ['another url', { header: header => ({ ...header, url: pebble.directoryUrl }) }, 'malformed'],
    ['a key that is not the account’s', { key: makeClientKey() }, 'malformed'],
    [
      'an algorithm that is none',
      { header: header => ({ ...header, alg: 'none' }) },
      'badSignatureAlgorithm',
    ],
    ['an unprotected header', { jws: jws => ({ ...jws, header: {} }) }, 'malformed'],
    [
      'the compact serialization',
      { jws: jws => `${jws.protected}.${jws.payload}.${jws.signature}` },
      'malformed',
    ],
    ['another content type', { headers: { 'Content-Type': 'application/json' } }, 'malformed'],
  ];
  for (const [what, twist, kind] of rows)
    test(`by ${what}`, async () => {
      await client.newAccount({ termsOfServiceAgreed: true });
      const { problem } = await client.post(client.kid, undefined, twist);
      assert.equal(kindOf(problem), kind, problem?.detail);
    });
});
