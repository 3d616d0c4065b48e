import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { test } from 'node:test';
import { openSigner } from '../../../shared/acme/client.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { acmeError, problem, startFakeCa } from './fake-ca.ts';
import { accountKeyPem, connect, never, openKeySigner } from './open-connection.ts';

test('a signer names itself in every request, signed or not', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ body: {} }));
  await openKeySigner(connection).post(`${ca.url}/thing`, {});
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', 'POST /thing']);
  assert.deepEqual([...new Set(ca.requests.map(({ headers }) => headers['user-agent']))], ['quarry/test']);
});

test('a signer keeps its connection, asks for one nonce and then uses those that come with the answers', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ body: {} }));
  for (let n = 0; n < 5; n++) await openKeySigner(connection).post(`${ca.url}/thing`, { n });
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', ...Array(5).fill('POST /thing')]);
  assert.equal(new Set(ca.requests.map(({ port }) => port)).size, 1);
  const nonces = ca.requests.flatMap(({ nonce }) => nonce ?? []);
  assert.equal(new Set(nonces).size, 5);
});

test('a signer gives each of many requests at once a nonce of its own', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ body: {} }));
  const signer = openKeySigner(connection);
  const request = () => signer.post(`${ca.url}/thing`, {});
  for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 20 }, request));
  assert.equal(new Set(ca.requests.flatMap(({ nonce }) => nonce ?? [])).size, 60);
});

test('a signer retries a bad nonce with the one that came with the error, up to ten times', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  let refusals = 10;
  ca.on('/thing', () => {
    if (refusals-- > 0) return problem(400, 'badNonce', 'that nonce is not known');
    return { body: { good: true } };
  });
  const signer = openKeySigner(connection);
  assert.deepEqual((await signer.post(`${ca.url}/thing`, {})).data, { good: true });
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', ...Array(11).fill('POST /thing')]);

  refusals = Number.POSITIVE_INFINITY;
  await assert.rejects(signer.post(`${ca.url}/thing`, {}), { code: 'unavailable' });
  assert.equal(ca.requests.length, 13 + 11);
});

test('a signer survives a CA that has forgotten its nonces', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ body: {} }));
  for (let n = 0; n < 32; n++) connection.nonces.put(`forgotten-${n}`, connection.clock.now());
  await openKeySigner(connection).post(`${ca.url}/thing`, {});
  assert.deepEqual(ca.log(), ['POST /thing', 'POST /thing']);
  assert.deepEqual(
    ca.requests.map(({ nonce }) => nonce?.split('-')[0]),
    ['forgotten', 'nonce'],
  );
});

test('a signer makes no header line of a hostile nonce and does not use it', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/nonce', () => ({ status: 204, headers: { 'Replay-Nonce': 'a b"c' } }));
  await assert.rejects(openKeySigner(connection).post(`${ca.url}/thing`, {}), /the CA gave no nonce/);
  assert.equal(connection.nonces.take(connection.clock.now()), undefined);
});

test('a signer tells when to come back where the CA gives no nonce', async () => {
  await using ca = await startFakeCa();
  const clock = turnedClock(1_000_000);
  using connection = connect(ca.directoryUrl, clock);
  ca.on('/nonce', () => ({ status: 503, headers: { 'Retry-After': '7' } }));
  const asking = openKeySigner(connection).post(`${ca.url}/thing`, {});
  await assert.rejects(asking, { code: 'unavailable', retryAfter: 1_007_000 });
});

test('a signer throws a failed answer as an IssuanceError with the problem and the time', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl, turnedClock(5_000));
  ca.on('/thing', () => {
    const { headers, ...answer } = problem(429, 'rateLimited', 'too many\norders');
    return { ...answer, headers: { ...headers, 'Retry-After': '60' } };
  });
  await assert.rejects(openKeySigner(connection).post(`${ca.url}/thing`, {}), {
    name: 'IssuanceError',
    code: 'rateLimited',
    message: 'the CA refused: too many orders',
    retryAfter: 65_000,
    problem: { type: acmeError('rateLimited'), detail: 'too many orders' },
  });
});

const makeKeyPem = {
  ec: (namedCurve: string) => toPem(generateKeyPairSync('ec', { namedCurve })),
  rsa: (modulusLength: number) => toPem(generateKeyPairSync('rsa', { modulusLength })),
};
const toPem = ({ privateKey }: ReturnType<typeof generateKeyPairSync>) =>
  privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

for (const [alg, hash, bytes, keyPem] of [
  ['ES256', 'sha256', 64, makeKeyPem.ec('P-256')],
  ['ES384', 'sha384', 96, makeKeyPem.ec('P-384')],
  ['ES512', 'sha512', 132, makeKeyPem.ec('P-521')],
  ['RS256', 'sha256', 256, makeKeyPem.rsa(2048)],
] as const)
  test(`a signer signs by ${alg} as RFC 7518 has it`, async () => {
    await using ca = await startFakeCa();
    using connection = connect(ca.directoryUrl);
    ca.on('/thing', () => ({ body: {} }));
    await openSigner(connection, { keyPem }, never).post(`${ca.url}/thing`, { name: 'bücher.example' });
    const { jws, nonce } = ca.requests.at(-1) ?? {};
    assert.ok(jws);

    const key = createPublicKey(keyPem);
    const { kty, ...members } = key.export({ format: 'jwk' });
    assert.deepEqual(readJson(jws.protected), {
      alg,
      jwk: { kty, ...members },
      nonce,
      url: `${ca.url}/thing`,
    });
    assert.deepEqual(readJson(jws.payload), { name: 'bücher.example' });
    const [input, signature] = [Buffer.from(`${jws.protected}.${jws.payload}`), fromBase64(jws.signature)];
    assert.equal(verify(hash, input, { key, dsaEncoding: 'ieee-p1363' }, signature), true);
    assert.equal(signature.length, bytes);
  });

const fromBase64 = (text: string) => Buffer.from(text, 'base64url');
const readJson = (text: string) => JSON.parse(fromBase64(text).toString());

test('a signer of an account names it in place of the key, and sends nothing in a POST-as-GET', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  const account = { keyPem: accountKeyPem, url: `${ca.url}/account/1` };
  await openKeySigner(connection).postTo('newAccount', () => ({}));
  ca.on('/thing', () => ({ body: {} }));
  await openSigner(connection, account, never).post(`${ca.url}/thing`);
  const { jws, nonce } = ca.requests.at(-1) ?? {};
  assert.deepEqual(readJson(jws?.protected ?? ''), {
    alg: 'ES256',
    kid: account.url,
    nonce,
    url: `${ca.url}/thing`,
  });
  assert.equal(jws?.payload, '');
});

test('a signer says what is wrong with a key that no CA would take', async () => {
  using connection = connect('https://ca.example/dir');
  const open = (keyPem: string) => () => openSigner(connection, { keyPem }, never);
  assert.throws(open('no key'), { message: 'not a private key in PEM' });
  assert.throws(open(toPem(generateKeyPairSync('ed25519'))), { message: 'the key is neither RSA nor EC' });
  assert.throws(
    open(makeKeyPem.ec('secp256k1')),
    /^Error: the key's curve is not one of P-256, P-384, P-521/,
  );
});

test('a signer asks for each request how long the CA has for its answer', async t => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ body: {} }));
  const asked: number[] = [];
  t.mock.method(globalThis, 'setTimeout', (_: () => void, after: number) => {
    asked.push(after);
  });
  let timeout = 9_000;
  const signer = openSigner(connection, { keyPem: accountKeyPem }, never, () => timeout);
  await signer.post(`${ca.url}/thing`, {});
  timeout = 4_000;
  await signer.post(`${ca.url}/thing`, {});
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', 'POST /thing', 'POST /thing']);
  assert.deepEqual(asked, [9_000, 9_000, 9_000, 4_000]);
});
