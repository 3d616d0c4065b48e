import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { openCaConnection, readDirectory, sendRequest, takeNonce } from '../../../shared/acme/connection.ts';
import { REQUEST_TIMEOUT } from '../../../shared/acme/read-answer.ts';
import { bracketed } from '../../../shared/base/identifier.ts';
import { listen } from '../../support/listen.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { startFakeCa } from './fake-ca.ts';
import { connect, never, openKeySigner } from './open-connection.ts';

const mib = 1024 * 1024;

test('a request follows no redirect', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ status: 307, headers: { Location: `${ca.url}/elsewhere` } }));
  await assert.rejects(openKeySigner(connection).post(`${ca.url}/thing`, {}), {
    code: 'unexpected',
  });
  ca.on('/dir2', () => ({ status: 301, headers: { Location: ca.directoryUrl } }));
  using moved = connect(`${ca.url}/dir2`);
  await assert.rejects(readDirectory(moved, never), {
    code: 'unavailable',
    message: `${ca.url}/dir2 is no ACME directory (status 301, empty)`,
  });
  assert.equal(ca.log().includes('POST /elsewhere'), false);
});

test('a request stops reading an answer that is larger than a mebibyte', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/large', () => ({ body: 'x'.repeat(mib) }));
  assert.equal(String((await openKeySigner(connection).post(`${ca.url}/large`, {})).data).length, mib);
  ca.on('/larger', () => ({ body: 'x'.repeat(mib + 1) }));
  await assert.rejects(openKeySigner(connection).post(`${ca.url}/larger`, {}), {
    code: 'unexpected',
    message: "the CA's answer is too large",
  });
});

test('a request takes damaged JSON for a passing fault of the CA', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({
    headers: { 'Content-Type': 'application/json; charset=utf-8' },
    body: '{"status": "val',
  }));
  await assert.rejects(openKeySigner(connection).post(`${ca.url}/thing`, {}), {
    code: 'unavailable',
    message: 'the CA answered with damaged JSON',
  });
});

/** Serves over TLS on a free port of each host, which it says in each answer. */
async function listenOverTls(stack: AsyncDisposableStack, host: string): Promise<string> {
  const { certFile, keyFile } = await tlsAuthority();
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const server = createServer({ cert, key }, ({ headers, socket }, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ host: headers.host, by: headers.authorization, port: socket.remotePort }));
  });
  stack.defer(() => server.closeAllConnections());
  stack.defer(() => void server.close());
  server.listen(0, host);
  await once(server, 'listening');
  return `${bracketed(host)}:${(server.address() as AddressInfo).port}`;
}

test('requests to a CA of several hosts and ports share the connections to each', async () => {
  await using stack = new AsyncDisposableStack();
  const hosts = [
    await listenOverTls(stack, '127.0.0.1'),
    await listenOverTls(stack, '127.0.0.1'),
    await listenOverTls(stack, '::1'),
  ];
  const ca = [await readFile((await tlsAuthority()).caFile, 'utf8')];
  const directoryUrl = 'https://127.0.0.1/dir';
  const connection = stack.use(openCaConnection({ directoryUrl, userAgent: 'quarry/test', ca }));
  const ports: number[] = [];
  for (const host of [...hosts, ...hosts]) {
    const { data } = await sendRequest(connection, { url: `https://${host}/thing`, signal: never });
    const seen = data as { host: string; port: number };
    assert.equal(seen.host, host);
    ports.push(seen.port);
  }
  assert.deepEqual([ports.slice(0, 3), new Set(ports).size], [ports.slice(3), 3]);
});

test('a request carries the password that stands in the URL', async () => {
  await using stack = new AsyncDisposableStack();
  const host = await listenOverTls(stack, '127.0.0.1');
  const ca = [await readFile((await tlsAuthority()).caFile, 'utf8')];
  const directoryUrl = 'https://127.0.0.1/dir';
  const connection = stack.use(openCaConnection({ directoryUrl, userAgent: 'quarry/test', ca }));
  const url = `https://quarry:s%2Fcret@${host}/thing`;
  const { data } = await sendRequest(connection, { url, signal: never });
  const by = `Basic ${Buffer.from('quarry:s/cret').toString('base64')}`;
  assert.equal((data as { by: string }).by, by);
});

test('a request sends nothing to a URL with a password that cannot be read', async () => {
  using connection = connect('https://ca.example/dir');
  await assert.rejects(sendRequest(connection, { url: 'https://%zz@ca.example/thing', signal: never }), {
    code: 'unexpected',
    message: 'the CA named a URL whose user or password is damaged',
  });
});

test('a connection takes no user agent that would be more than one header', () => {
  const directoryUrl = 'https://ca.example/dir';
  assert.throws(() => openCaConnection({ directoryUrl, userAgent: 'a\r\nEvil: 1' }), /user agent/);
});

for (const body of ['<html></html>', [], 'null'])
  test(`readDirectory() takes ${JSON.stringify(body)} for no directory`, async () => {
    await using ca = await startFakeCa();
    using connection = connect(ca.directoryUrl);
    const headers: Record<string, string> = body === 'null' ? { 'Content-Type': 'application/json' } : {};
    ca.on('/dir', () => ({ body, headers }));
    const asking = openKeySigner(connection).post(`${ca.url}/thing`, {});
    await assert.rejects(asking, /is no ACME directory|directory names no newNonce/);
  });

test('a request says which CA refuses connections, and why', async () => {
  const gone = await listen(() => {});
  await gone[Symbol.asyncDispose]();
  using connection = connect(`${gone.url}/dir`);
  await assert.rejects(readDirectory(connection, never), {
    code: 'unavailable',
    message: `the CA at 127.0.0.1:${gone.port} cannot be reached: connect ECONNREFUSED 127.0.0.1:${gone.port}`,
  });
});

test('a request takes a connection that breaks off in the middle of an answer for a passing fault', async () => {
  await using server = await listen((_, response) => {
    response.writeHead(200, { 'Content-Length': 1000 });
    response.write('half', () => response.destroy());
  });
  using connection = connect(`${server.url}/dir`);
  await assert.rejects(readDirectory(connection, never), { code: 'unavailable' });
});

test('a request ends when its signal fires, whether the answer has begun or not', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  const reason = new Error('the worker has stopped');
  const controller = new AbortController();
  const asked = Promise.withResolvers<void>();
  ca.on('/silent', () => {
    asked.resolve();
    return undefined;
  });
  const asking = openKeySigner(connection, controller.signal).post(`${ca.url}/silent`, {});
  await asked.promise;
  controller.abort(reason);
  await assert.rejects(asking, error => error === reason);
  await assert.rejects(takeNonce(connection, controller.signal, REQUEST_TIMEOUT), error => error === reason);

  const begun = new AbortController();
  await using server = await listen((_, response) => {
    response.writeHead(200, { 'Content-Length': 1000 });
    response.write('half', () => begun.abort(reason));
  });
  using other = connect(`${server.url}/dir`);
  await assert.rejects(readDirectory(other, begun.signal), error => error === reason);
});

test('a request gives up on a CA that does not answer within thirty seconds', async t => {
  const timers: { run: () => void; after: number }[] = [];
  t.mock.method(globalThis, 'setTimeout', (run: () => void, after: number) => {
    timers.push({ run, after });
  });
  await using server = await listen(request => {
    void once(request, 'end').then(() => timers[0]?.run());
    request.resume();
  });
  using connection = connect(`${server.url}/dir`);
  await assert.rejects(readDirectory(connection, never), {
    code: 'unavailable',
    message: `the CA at 127.0.0.1:${server.port} cannot be reached: no answer within 30 seconds`,
  });
  assert.deepEqual(
    timers.map(({ after }) => after),
    [30_000],
  );
});

for (const url of [
  'http://ca.example/dir',
  'http://127.0.0.1.example/dir',
  'http://localhost.example/dir',
  'http://192.0.2.1/dir',
  'http://user@ca.example/dir',
  'file:///etc/passwd',
  'ftp://127.0.0.1/dir',
  '/relative',
  '',
])
  test(`a request sends nothing to ${JSON.stringify(url)}`, async () => {
    using connection = connect(url);
    await assert.rejects(readDirectory(connection, never), {
      code: 'unexpected',
      message: 'the CA named a URL that is not https',
    });
  });

test('readDirectory() asks for the directory once an hour', async () => {
  await using ca = await startFakeCa();
  const clock = turnedClock(0);
  using connection = connect(ca.directoryUrl, clock);
  for (const minutes of [0, 59, 2]) {
    clock.turn(minutes * 60_000);
    await readDirectory(connection, never);
  }
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /dir']);
});

const openPool = () => connect('https://ca.example/dir').nonces;

test('a pool of nonces hands out each nonce once, the last one first', () => {
  const pool = openPool();
  for (const nonce of ['a', 'b', 'c']) pool.put(nonce, 0);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => pool.take(0)),
    ['c', 'b', 'a', undefined],
  );
});

test('a pool of nonces forgets what is older than a minute', () => {
  const pool = openPool();
  pool.put('old', 0);
  pool.put('fresh', 30_000);
  assert.equal(pool.take(60_001), 'fresh');
  assert.equal(pool.take(60_001), undefined);
  pool.put('new', 70_000);
  assert.equal(pool.take(130_000), 'new');
  assert.equal(pool.take(130_000), undefined);
});

test('a pool of nonces keeps one for each order that a worker may drive at once, and the freshest', () => {
  const pool = openPool();
  for (let n = 0; n < 1_100; n++) pool.put(`n${n}`, 0);
  const taken: string[] = [];
  for (let nonce = pool.take(0); nonce; nonce = pool.take(0)) taken.push(nonce);
  assert.equal(taken.length, 1_000);
  assert.deepEqual([taken[0], taken.at(-1)], ['n1099', 'n100']);
});
