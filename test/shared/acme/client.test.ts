import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { type AcmeClient, openAcmeClient } from '../../../shared/acme/client.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { acmeError, type FakeCa, startFakeCa } from './fake-ca.ts';
import { accountKeyPem, connect, never, openKeySigner } from './open-connection.ts';

const now = 1_000_000;

/** A CA with an account, and its client. */
async function start(
  resources: Record<string, string> = {},
): Promise<AsyncDisposable & { ca: FakeCa; client: AcmeClient; accountUrl: string }> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  ca.resources = resources;
  const connection = stack.use(connect(ca.directoryUrl, turnedClock(now)));
  const { headers } = await openKeySigner(connection).post(`${ca.url}/new-account`, {});
  const accountUrl = headers.location ?? '';
  const client = openAcmeClient(connection, { keyPem: accountKeyPem, url: accountUrl }, never);
  ca.requests.length = 0;
  const parts = stack.move();
  return { ca, client, accountUrl, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

const order = {
  status: 'pending',
  authorizations: ['https://ca.example/authz/1'],
  finalize: 'https://ca.example/f',
};
const orderUrl = (ca: FakeCa) => `${ca.url}/order/1`;

test('newOrder() sends the identifiers as the account and reads the order with its URL', async () => {
  await using ready = await start();
  const { ca, client, accountUrl } = ready;
  const identifiers = [
    { type: 'dns', value: 'a.example' } as const,
    { type: 'ip', value: '192.0.2.1' } as const,
  ];
  ca.on('/new-order', () => ({ status: 201, headers: { Location: orderUrl(ca) }, body: order }));
  const { certificate, error, retryAfter, ...made } = await client.newOrder(identifiers);
  assert.deepEqual(made, { url: orderUrl(ca), ...order });
  assert.deepEqual([certificate, error, retryAfter], [undefined, undefined, undefined]);
  const [{ kid, payload } = {}] = ca.requests.filter(({ path }) => path === '/new-order');
  assert.deepEqual([kid, payload], [accountUrl, { identifiers }]);
});

test('newOrder() sends a certificate profile, and what it replaces where the CA has renewal information', async () => {
  for (const [resources, sent] of [
    [{}, { profile: 'short' }],
    [{ renewalInfo: 'https://ca.example/renewal' }, { profile: 'short', replaces: 'aki.serial' }],
  ] as const) {
    await using ready = await start(resources);
    const { ca, client } = ready;
    ca.on('/new-order', () => ({ status: 201, headers: { Location: orderUrl(ca) }, body: order }));
    await client.newOrder([], { profile: 'short', replaces: 'aki.serial' });
    assert.deepEqual(ca.requests.at(-1)?.payload, { identifiers: [], ...sent });
  }
});

test('every call takes a success for one, whatever its status', async () => {
  for (const status of [200, 201, 202]) {
    await using ready = await start();
    const { ca, client } = ready;
    const headers = { Location: orderUrl(ca) };
    ca.on('/new-order', () => ({ status, headers, body: order }));
    ca.on('/order/1', () => ({ status, body: order }));
    ca.on('/challenge', () => ({ status, body: {} }));
    ca.on('/finalize', () => ({ status, body: { ...order, status: 'processing' } }));
    const made = await client.newOrder([{ type: 'dns', value: 'a.example' }]);
    assert.equal(made.url, orderUrl(ca));
    assert.equal((await client.getOrder(made.url)).status, 'pending');
    await client.initiateChallenge(`${ca.url}/challenge`);
    const finalized = await client.finalize(
      { ...made, finalize: `${ca.url}/finalize` },
      Buffer.from('a CSR'),
    );
    assert.equal(finalized.status, 'processing');
  }
});

test('getOrder() reads certificate, error and Retry-After', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const body = {
    ...order,
    status: 'invalid',
    certificate: 'https://ca.example/c',
    error: { type: acmeError('caa') },
  };
  ca.on('/order/1', () => ({ headers: { 'Retry-After': '3' }, body }));
  const read = await client.getOrder(orderUrl(ca));
  assert.deepEqual(
    [read.certificate, read.error, read.retryAfter],
    [body.certificate, body.error, now + 3000],
  );
  assert.equal(ca.requests.at(-1)?.payload, undefined);
});

for (const [what, body] of [
  ['a text', 'order'],
  ['null', null],
  ['a state that is none', { ...order, status: 'deactivated' }],
  ['a state of another type', { ...order, status: ['pending'] }],
  ['no authorizations', { ...order, authorizations: undefined }],
  ['authorizations that are no texts', { ...order, authorizations: [{ url: 'https://ca.example' }] }],
] as const)
  test(`getOrder() refuses an order with ${what}`, async () => {
    await using ready = await start();
    ready.ca.on('/order/1', () => ({
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }));
    await assert.rejects(ready.client.getOrder(orderUrl(ready.ca)), {
      code: 'unexpected',
      message: /answer lacks/,
    });
  });

test('newOrder() refuses an answer without Location', async () => {
  await using ready = await start();
  ready.ca.on('/new-order', () => ({ status: 201, body: order }));
  await assert.rejects(ready.client.newOrder([]), {
    code: 'unexpected',
    message: /lacks the URL of the new order/,
  });
});

const challenge = {
  type: 'http-01',
  url: 'https://ca.example/chall/1',
  status: 'pending',
  token: 'a'.repeat(43),
};
const identifier = { type: 'dns', value: 'a.example' };

test('getAuthorization() reads identifier, wildcard and challenges', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const failed = {
    ...challenge,
    status: 'invalid',
    error: { type: acmeError('dns'), detail: 'no such name' },
  };
  const body = {
    status: 'invalid',
    identifier,
    wildcard: true,
    challenges: [challenge, failed],
    expires: 'later',
  };
  ca.on('/authz/1', () => ({ body }));
  const url = `${ca.url}/authz/1`;
  const { challenges, ...read } = await client.getAuthorization(url);
  assert.deepEqual(read, { url, status: 'invalid', identifier, wildcard: true });
  assert.deepEqual(challenges, [{ ...challenge, error: undefined }, failed]);
});

test('getAuthorization() takes a hostile token for none', async () => {
  await using ready = await start();
  const tokens = ['../../etc/passwd', 'short', 'a'.repeat(600), `${'a'.repeat(40)}\n`, 7, undefined];
  const challenges = tokens.map(token => ({ ...challenge, token }));
  ready.ca.on('/authz/1', () => ({ body: { status: 'pending', identifier, challenges } }));
  const read = await ready.client.getAuthorization(`${ready.ca.url}/authz/1`);
  assert.deepEqual([...new Set(read.challenges.map(({ token }) => token))], ['']);
});

test('getAuthorization() reads whom a record of dns-persist-01 has to name, and takes what breaks the rules for none', async () => {
  await using ready = await start();
  const persist = { ...challenge, type: 'dns-persist-01', token: undefined };
  const many = Array.from({ length: 11 }, (_, index) => `ca${index}.example`);
  const names = [
    ['ca.example', 'xn--bcher-kva.example'],
    [],
    many,
    ['CA.example'],
    ['ca.example.'],
    ['a b'],
    [7],
    'ca.example',
  ];
  const uris = ['https://ca.example/acct/1', 'acct 1', 'https://ca.example/"; policy=wildcard', 7];
  const challenges = [
    ...names.map(each => ({ ...persist, 'issuer-domain-names': each })),
    ...uris.map(accounturi => ({ ...persist, accounturi })),
  ];
  ready.ca.on('/authz/1', () => ({ body: { status: 'pending', identifier, challenges } }));
  const read = (await ready.client.getAuthorization(`${ready.ca.url}/authz/1`)).challenges;
  assert.deepEqual(
    read.map(({ issuerDomainNames, accountUrl }) => issuerDomainNames ?? accountUrl),
    [names[0], ...Array(names.length - 1).fill(undefined), uris[0], undefined, undefined, undefined],
  );
  assert.deepEqual([...new Set(read.map(({ token }) => token))], ['']);
});

for (const [what, body] of [
  ['no challenges', { status: 'pending', identifier }],
  ['no identifier', { status: 'pending', challenges: [] }],
  ['no state', { identifier, challenges: [] }],
] as const)
  test(`getAuthorization() refuses one with ${what}`, async () => {
    await using ready = await start();
    ready.ca.on('/authz/1', () => ({ body }));
    const asking = ready.client.getAuthorization(`${ready.ca.url}/authz/1`);
    await assert.rejects(asking, { code: 'unexpected', message: /answer lacks/ });
  });

test('initiateChallenge() sends an empty object, finalize() the CSR in base64url', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  ca.on('/chall/1', () => ({ body: challenge }));
  await client.initiateChallenge(`${ca.url}/chall/1`);
  assert.deepEqual(ca.requests.at(-1)?.payload, {});
  ca.on('/finalize/1', () => ({ body: { ...order, status: 'processing' } }));
  const ordered = { ...order, status: 'ready', url: orderUrl(ca), finalize: `${ca.url}/finalize/1` } as const;
  const finalized = await client.finalize(ordered, Buffer.from([0xfb, 0xff, 0x00]));
  assert.deepEqual([finalized.url, finalized.status], [orderUrl(ca), 'processing']);
  assert.deepEqual(ca.requests.at(-1)?.payload, { csr: '-_8A' });
});

test('finalize() leaves the CA two minutes for its answer, however short of time all else is', async t => {
  await using ready = await start();
  const { ca, accountUrl } = ready;
  using connection = connect(ca.directoryUrl);
  const client = openAcmeClient(connection, { keyPem: accountKeyPem, url: accountUrl }, never, () => 3_000);
  ca.on('/finalize/1', () => ({ body: { ...order, status: 'processing' } }));
  ca.on('/order/1', () => ({ body: order }));
  const asked: number[] = [];
  t.mock.method(globalThis, 'setTimeout', (_: () => void, after: number) => {
    asked.push(after);
  });
  const made = await client.getOrder(orderUrl(ca));
  await client.finalize({ ...made, finalize: `${ca.url}/finalize/1` }, Buffer.from('a CSR'));
  assert.deepEqual(asked, [3_000, 3_000, 3_000, 120_000]); // directory, nonce, order, finalize
});

test('downloadChain() gives the text as it is, and refuses an empty one and JSON', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  let body: unknown = '-----BEGIN CERTIFICATE-----\n';
  ca.on('/cert/1', () => ({ body }));
  assert.equal(await client.downloadChain(`${ca.url}/cert/1`), body);
  for (body of ['', { certificate: 'none' }]) {
    await assert.rejects(client.downloadChain(`${ca.url}/cert/1`), { code: 'unexpected' });
  }
});

test("keyAuthorization() is the token and the account key's thumbprint", async () => {
  await using ready = await start();
  const { crv, kty, x, y } = createPublicKey(accountKeyPem).export({ format: 'jwk' });
  const thumbprint = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  assert.equal(ready.client.keyAuthorization('token'), `token.${thumbprint}`);
});
