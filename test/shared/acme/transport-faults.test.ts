import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { listen } from '../../support/listen.ts';
import { startFakeCa } from './fake-ca.ts';
import { connect, never, openTransport } from './open-connection.ts';

const mib = 1024 * 1024;

test('AcmeTransport follows no redirect', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({ status: 307, headers: { Location: `${ca.url}/elsewhere` } }));
  await assert.rejects(openTransport(connection).signedRequest(`${ca.url}/thing`, {}), {
    code: 'unexpected',
  });
  ca.on('/dir2', () => ({ status: 301, headers: { Location: ca.directoryUrl } }));
  using moved = connect(`${ca.url}/dir2`);
  await assert.rejects(openTransport(moved).getDirectory(), {
    code: 'unavailable',
    message: `${ca.url}/dir2 is no ACME directory (status 301)`,
  });
  assert.equal(ca.log().includes('POST /elsewhere'), false);
});

test('AcmeTransport stops reading an answer that is larger than a mebibyte', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/large', () => ({ body: 'x'.repeat(mib) }));
  assert.equal(
    String((await openTransport(connection).signedRequest(`${ca.url}/large`, {})).data).length,
    mib,
  );
  ca.on('/larger', () => ({ body: 'x'.repeat(mib + 1) }));
  await assert.rejects(openTransport(connection).signedRequest(`${ca.url}/larger`, {}), {
    code: 'unexpected',
    message: "the CA's answer is too large",
  });
});

test('AcmeTransport takes damaged JSON for a passing fault of the CA', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  ca.on('/thing', () => ({
    headers: { 'Content-Type': 'application/json; charset=utf-8' },
    body: '{"status": "val',
  }));
  await assert.rejects(openTransport(connection).signedRequest(`${ca.url}/thing`, {}), {
    code: 'unavailable',
    message: 'the CA answered with damaged JSON',
  });
});

for (const body of ['<html></html>', [], 'null'])
  test(`AcmeTransport takes ${JSON.stringify(body)} for no directory`, async () => {
    await using ca = await startFakeCa();
    using connection = connect(ca.directoryUrl);
    const headers: Record<string, string> = body === 'null' ? { 'Content-Type': 'application/json' } : {};
    ca.on('/dir', () => ({ body, headers }));
    const asking = openTransport(connection).signedRequest(`${ca.url}/thing`, {});
    await assert.rejects(asking, /is no ACME directory|directory names no newNonce/);
  });

test('AcmeTransport says which CA refuses connections, and why', async () => {
  const gone = await listen(() => {});
  await gone[Symbol.asyncDispose]();
  using connection = connect(`${gone.url}/dir`);
  await assert.rejects(openTransport(connection).getDirectory(), {
    code: 'unavailable',
    message: `the CA at 127.0.0.1:${gone.port} cannot be reached: connect ECONNREFUSED 127.0.0.1:${gone.port}`,
  });
});

test('AcmeTransport takes a connection that breaks off in the middle of an answer for a passing fault', async () => {
  await using server = await listen((_, response) => {
    response.writeHead(200, { 'Content-Length': 1000 });
    response.write('half', () => response.destroy());
  });
  using connection = connect(`${server.url}/dir`);
  await assert.rejects(openTransport(connection).getDirectory(), { code: 'unavailable' });
});

test('AcmeTransport lets go of a request when its signal fires, whether the answer has begun or not', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl);
  const reason = new Error('the worker has stopped');
  const controller = new AbortController();
  const asked = Promise.withResolvers<void>();
  ca.on('/silent', () => {
    asked.resolve();
    return undefined;
  });
  const asking = openTransport(connection, controller.signal).signedRequest(`${ca.url}/silent`, {});
  await asked.promise;
  controller.abort(reason);
  await assert.rejects(asking, error => error === reason);
  await assert.rejects(openTransport(connection, controller.signal).getNonce(), error => error === reason);

  const begun = new AbortController();
  await using server = await listen((_, response) => {
    response.writeHead(200, { 'Content-Length': 1000 });
    response.write('half', () => begun.abort(reason));
  });
  using other = connect(`${server.url}/dir`);
  await assert.rejects(openTransport(other, begun.signal).getDirectory(), error => error === reason);
});

test('AcmeTransport gives up on a CA that does not answer within thirty seconds', async t => {
  const timeout = new AbortController();
  const asked: number[] = [];
  t.mock.method(AbortSignal, 'timeout', (ms: number) => {
    asked.push(ms);
    return timeout.signal;
  });
  await using server = await listen(request => {
    void once(request, 'end').then(() => timeout.abort(new DOMException('', 'TimeoutError')));
    request.resume();
  });
  using connection = connect(`${server.url}/dir`);
  await assert.rejects(openTransport(connection).getDirectory(), {
    code: 'unavailable',
    message: `the CA at 127.0.0.1:${server.port} cannot be reached: no answer within 30 seconds`,
  });
  assert.deepEqual(asked, [30_000]);
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
  test(`AcmeTransport sends nothing to ${JSON.stringify(url)}`, async () => {
    using connection = connect(url);
    await assert.rejects(openTransport(connection, never).getDirectory(), {
      code: 'unexpected',
      message: 'the CA named a URL that is not https',
    });
  });
