import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAccount } from '../../../shared/acme/account.ts';
import { type AcmeClient, openAcmeClient } from '../../../shared/acme/client.ts';
import { type CaConnection, takeNonce } from '../../../shared/acme/connection.ts';
import { REQUEST_TIMEOUT } from '../../../shared/acme/read-answer.ts';
import { fetchRenewalInfo } from '../../../shared/acme/renewal-info.ts';
import { fetchResource, listOrders } from '../../../shared/acme/resource.ts';
import { revokeCertificate } from '../../../shared/acme/revoke.ts';
import { makeCertificate } from '../pki/openssl-csr.ts';
import { startWithAccount } from './account-ready.ts';
import { type CaAnswer, type FakeCa, startFakeCa } from './fake-ca.ts';
import { accountKeyPem, connect, never, openKeySigner } from './open-connection.ts';

// What CAs write that RFC 8555 does not have, or writes in another way.

type Ready = AsyncDisposable & { ca: FakeCa; connection: CaConnection; client: AcmeClient };

async function start(): Promise<Ready> {
  const ready = await startWithAccount();
  const { ca, connection, account } = ready;
  const client = openAcmeClient(connection, account, never);
  return { ca, connection, client, [Symbol.asyncDispose]: () => ready[Symbol.asyncDispose]() };
}

const json = (body: string): CaAnswer => ({ headers: { 'Content-Type': 'application/json' }, body });
const sent = (ca: FakeCa, path: string) => ca.log().filter(line => line.endsWith(` ${path}`));

// Nonces

for (const status of [404, 405, 501, 403, 200])
  test(`a nonce is asked for by HEAD where the CA answers ${status} to GET, and from then on by HEAD first`, async () => {
    await using ca = await startFakeCa();
    using connection = connect(ca.directoryUrl);
    let given = 0;
    ca.on('/nonce', ({ method }) =>
      method === 'GET' ? { status } : { status: 200, headers: { 'Replay-Nonce': `by-head-${given++}` } },
    );
    const take = () => takeNonce(connection, never, REQUEST_TIMEOUT);
    assert.deepEqual([await take(), await take()], ['by-head-0', 'by-head-1']);
    assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', 'HEAD /nonce', 'HEAD /nonce']);
  });

test('a nonce is asked for by GET again where the CA answers HEAD no more', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  let known = 'HEAD';
  ca.on('/nonce', ({ method }) =>
    method === known ? { headers: { 'Replay-Nonce': `by-${method}` } } : { status: 405 },
  );
  const take = () => takeNonce(connection, never, REQUEST_TIMEOUT);
  assert.equal(await take(), 'by-HEAD');
  known = 'GET';
  assert.equal(await take(), 'by-GET');
});

test('a nonce is not asked for in another way of a CA that is busy', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  for (const [status, code] of [
    [429, 'rateLimited'],
    [503, 'unavailable'],
  ] as const) {
    ca.on('/nonce', () => ({ status }));
    await assert.rejects(takeNonce(connection, never, REQUEST_TIMEOUT), { code });
  }
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', 'GET /nonce']);
});

test('a CA that gives a nonce in neither way is described by its answer to the first', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/nonce', () => ({ status: 405, body: 'Method Not Allowed' }));
  await assert.rejects(takeNonce(connection, never, REQUEST_TIMEOUT), {
    message: 'the CA gave no nonce: status 405, text/plain, "Method Not Allowed"',
  });
});

// No content

test('an empty body is no content, whatever its type', async () => {
  await using ready = await start();
  const { ca, connection } = ready;
  ca.on('/nonce', () => ({ ...json(''), headers: { ...json('').headers, 'Replay-Nonce': 'first' } }));
  assert.equal(await takeNonce(connection, never, REQUEST_TIMEOUT), 'nonce-1', 'of the pool');
  assert.equal(await takeNonce(connection, never, REQUEST_TIMEOUT), 'first');
});

test('an empty answer to a revocation is a success, the first time too', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.resources = { revokeCert: `${ca.url}/revoke` };
  delete connection.directory;
  ca.on('/revoke', () => json(''));
  assert.equal(await revokeCertificate(connection, account, makeCertificate(), undefined, never), true);
  assert.equal(sent(ca, '/revoke').length, 1);
});

test('an account whose object the CA does not send is known by its URL', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/new-account', () => ({ ...json(''), status: 201, headers: { Location: '/account/7' } }));
  const made = await createAccount(connection, accountKeyPem, { termsOfServiceAgreed: true }, never);
  assert.deepEqual(made, { url: `${ca.url}/account/7`, object: {} });
});

test('an order that the CA does not send with its answer is looked up', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  ca.on('/new-order', () => ({ status: 201, headers: { Location: `${ca.url}/order/1` } }));
  ca.on('/order/1', () => ({ body: { status: 'ready', authorizations: [] } }));
  const made = await client.newOrder([]);
  assert.deepEqual([made.url, made.status], [`${ca.url}/order/1`, 'ready']);
  assert.deepEqual([sent(ca, '/new-order').length, sent(ca, '/order/1').length], [1, 1]);
});

test('an order that the CA does not send with its answer to finalize is being processed', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const body = { status: 'ready', authorizations: [], finalize: `${ca.url}/finalize/1` };
  ca.on('/order/1', () => ({ body }));
  const made = await client.getOrder(`${ca.url}/order/1`);
  ca.on('/order/1', () => ({ status: 503 }));
  ca.on('/finalize/1', () => ({ ...json(''), headers: { ...json('').headers, 'Retry-After': '7' } }));
  const { retryAfter, ...finalized } = await client.finalize(made, Buffer.from('a CSR'));
  const { retryAfter: _, ...before } = made;
  assert.deepEqual(finalized, { ...before, status: 'processing' });
  assert.ok(retryAfter !== undefined);
  assert.deepEqual([sent(ca, '/finalize/1').length, sent(ca, '/order/1').length], [1, 1]);
});

// What stands in the place of JSON

const page = `<!DOCTYPE html><html><head><title>Down for
maintenance</title><style>p { color: red }</style><script>alert("x")</script></head><body><p>Back at "noon".`;

test('a page in the place of JSON is refused, and its type, status and first words are named', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  ca.on('/order/1', () => ({ headers: { 'Content-Type': 'text/html; charset=utf-8' }, body: page }));
  const words = 'status 200, text/html, "Down for maintenance Back at \\"noon\\"."';
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), {
    code: 'unexpected',
    message: `the CA's answer lacks an order: ${words}`,
  });
  ca.on('/authz/1', () => ({ body: `a\u0000\u202e\r\n text ${'z'.repeat(5_000)}` }));
  await assert.rejects(client.getAuthorization(`${ca.url}/authz/1`), ({ message }: Error) => {
    assert.match(message, /^the CA's answer lacks an authorization: status 200, text\/plain, "a text z+"$/);
    return message.length < 250;
  });
});

test('a page in the place of a problem is named by its type, status and first words', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  ca.on('/order/1', () => ({ status: 502, headers: { 'Content-Type': 'text/html' }, body: page }));
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), {
    code: 'unavailable',
    message: 'the CA refused: status 502, text/html, "Down for maintenance Back at \\"noon\\"."',
  });
  ca.on('/order/1', () => ({ status: 503 }));
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), {
    message: 'the CA refused: status 503, empty',
  });
});

test('a page in the place of a directory is named by its type, status and first words', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/dir', () => ({ headers: { 'Content-Type': 'text/html' }, body: page }));
  await assert.rejects(
    openKeySigner(connection).postTo('newOrder', () => ({})),
    {
      code: 'unavailable',
      message: new RegExp(`^${ca.directoryUrl} is no ACME directory \\(status 200, text/html, "Down for`),
    },
  );
});

// What is left out until it is needed, and what is written in another way

test('an order is read without what its state does not need', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const url = `${ca.url}/order/1`;
  const pending = { status: 'pending', authorizations: ['https://ca.example/a'] };
  for (const body of [pending, { status: 'Ready', authorizations: null }, { status: 'VALID' }]) {
    ca.on('/order/1', () => ({ body }));
    const { status, authorizations, finalize } = await client.getOrder(url);
    assert.deepEqual(
      [status, authorizations, finalize],
      [body.status.toLowerCase(), body.authorizations ?? [], undefined],
    );
  }
  ca.on('/order/1', () => ({ body: { ...pending, authorizations: null } }));
  await assert.rejects(client.getOrder(url), {
    message: "the CA's answer lacks the authorizations of an order",
  });
});

test('a finalize URL that came with no answer yet is looked up before it is missed', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const ready1 = { status: 'ready', authorizations: [] };
  ca.on('/order/1', () => ({ body: ready1 }));
  const order = await client.getOrder(`${ca.url}/order/1`);
  const csr = Buffer.from('a CSR');
  await assert.rejects(client.finalize(order, csr), { message: "the CA's answer lacks a finalize URL" });
  ca.on('/order/1', () => ({ body: { ...ready1, finalize: '/finalize/1' } }));
  ca.on('/finalize/1', () => ({ body: { status: 'processing' } }));
  assert.equal((await client.finalize(order, csr)).status, 'processing');
});

test('relative URLs are read by the URL that was asked', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  const client = openAcmeClient(connection, account, never);
  ca.resources = { newOrder: '/acme/new-order', renewalInfo: 'renewal' };
  delete connection.directory;
  const body = {
    status: 'valid',
    authorizations: ['../authz/1', '/authz/2'],
    finalize: '1/finalize',
    certificate: `${ca.url}/cert/1`,
  };
  ca.on('/acme/new-order', () => ({ status: 201, headers: { Location: 'order/1' }, body }));
  const order = await client.newOrder([]);
  assert.deepEqual(
    [order.url, ...order.authorizations, order.finalize, order.certificate],
    ['/acme/order/1', '/authz/1', '/authz/2', '/acme/1/finalize', '/cert/1'].map(path => ca.url + path),
  );
  const identifier = { type: 'dns', value: 'a.example' };
  const challenge = { type: 'http-01', url: '1/http', status: 'pending', token: 'a'.repeat(43) };
  ca.on('/authz/1', () => ({ body: { status: 'pending', identifier, challenges: [challenge] } }));
  const { challenges } = await client.getAuthorization(`${ca.url}/authz/1`);
  assert.deepEqual(
    challenges.map(({ url }) => url),
    [`${ca.url}/authz/1/http`],
  );

  ca.on('/renewal/aki.serial', () => ({ status: 500 }));
  await assert.rejects(fetchRenewalInfo(connection, 'aki.serial', never), { code: 'unavailable' });
  ca.on('/account/1', () => ({ body: { orders: '/orders' } }));
  ca.on('/orders', () => ({ body: { orders: ['order/1'] } }));
  assert.deepEqual(await listOrders(connection, account, never), {
    url: `${ca.url}/orders`,
    orders: [`${ca.url}/order/1`],
  });
});

test('challenges that nobody could answer are passed over, of whatever type they are', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const good = { type: 'http-01', url: 'https://ca.example/1', status: 'pending', token: 'a'.repeat(43) };
  const challenges = [
    null,
    'http-01',
    { type: 'new-kind-01', status: 'pending' },
    { url: 'https://ca.example/3', status: 'pending' },
    { ...good, type: 'no-token-01', token: undefined },
    { ...good, status: undefined },
    { ...good, type: 'DNS-01', status: 'Pending' },
  ];
  const identifier = { type: 'dns', value: 'a.example' };
  ca.on('/authz/1', () => ({ body: { status: 'pending', identifier, challenges } }));
  const read = (await client.getAuthorization(`${ca.url}/authz/1`)).challenges;
  assert.deepEqual(
    read.map(({ type, status, token }) => `${type} ${status} ${token.length}`),
    ['no-token-01 pending 0', 'http-01 pending 43', 'dns-01 pending 43'],
  );
});

test('an authorization that is over needs no challenges, and one that is pending does', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  const identifier = { type: 'dns', value: 'a.example' };
  ca.on('/authz/1', () => ({ body: { status: 'Valid', identifier, challenges: null } }));
  const { status, challenges } = await client.getAuthorization(`${ca.url}/authz/1`);
  assert.deepEqual([status, challenges], ['valid', []]);
  ca.on('/authz/1', () => ({ body: { status: 'pending', identifier } }));
  await assert.rejects(client.getAuthorization(`${ca.url}/authz/1`), {
    message: "the CA's answer lacks the challenges of an authorization",
  });
});

test('an authorization names the same name in capitals, and a wildcard with its *. and without', async () => {
  await using ready = await start();
  const { ca, client } = ready;
  for (const [identifier, wildcard, read] of [
    [{ type: 'DNS', value: 'A.Example' }, undefined, ['dns', 'a.example', false]],
    [{ type: 'dns', value: '*.a.example' }, undefined, ['dns', 'a.example', true]],
    [{ type: 'dns', value: '*.a.example' }, true, ['dns', 'a.example', true]],
    [{ type: 'dns', value: 'a.example' }, true, ['dns', 'a.example', true]],
    [{ type: 'IP', value: '2001:DB8::1' }, false, ['ip', '2001:db8::1', false]],
  ] as const) {
    ca.on('/authz/1', () => ({ body: { status: 'valid', identifier, wildcard } }));
    const found = await client.getAuthorization(`${ca.url}/authz/1`);
    assert.deepEqual([found.identifier.type, found.identifier.value, found.wildcard], read);
  }
});

test('what stands at a URL is shown as the CA sends it, or said to be no object', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.on('/thing', () => ({ headers: { 'Content-Type': 'text/html' }, body: '<h1>Sign in</h1>' }));
  await assert.rejects(fetchResource(connection, account, `${ca.url}/thing`, never), {
    code: 'unexpected',
    message: 'the CA\'s answer lacks an object: status 200, text/html, "Sign in"',
  });
});
