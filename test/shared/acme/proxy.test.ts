import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, beforeEach, suite, test } from 'node:test';
import { acmeCommand } from '../../../services/cli/acme/acme.ts';
import { type CaConnection, openCaConnection, sendRequest } from '../../../shared/acme/connection.ts';
import { readProxy } from '../../../shared/config/proxy.ts';
import { type ConnectProxy, startConnectProxy } from '../../support/connect-proxy.ts';
import { freePort } from '../../support/free-port.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { accountKeyPem, never } from './open-connection.ts';

const authority = await tlsAuthority();
const [ca, cert, key] = await Promise.all(
  [authority.caFile, authority.certFile, authority.keyFile].map(file => readFile(file, 'utf8')),
);
const server = createServer({ cert, key }, (request, response) => response.end(request.url));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
after(() => server.close().closeAllConnections());

/** Has no address, so that only a proxy leads to it. */
const proxied = `https://proxied.example:${port}`;

suite('a CA behind a proxy', () => {
  let proxy: ConnectProxy;
  let connection: CaConnection & Disposable;
  const open = (env: Record<string, string>, at = proxied) =>
    openCaConnection({
      directoryUrl: `${at}/dir`,
      userAgent: 'test',
      ca: [`${ca}`],
      proxy: readProxy(env),
    });
  const ask = (path: string, { signal = never, timeout = 20_000, at = proxied } = {}) =>
    sendRequest(connection, { url: `${at}${path}`, signal, timeout });

  beforeEach(async () => {
    proxy = await startConnectProxy();
    connection = open({ HTTPS_PROXY: proxy.url.replace('//', '//user:p%40ss@') });
  });
  afterEach(async () => {
    connection[Symbol.dispose]();
    await proxy[Symbol.asyncDispose]();
  });

  test('is asked through it, by its name, and one request after the other through one tunnel', async () => {
    for (const path of ['/one', '/two']) assert.equal((await ask(path)).data, path);
    assert.deepEqual(proxy.asked, [{ authority: `proxied.example:${port}`, credentials: 'user:p@ss' }]);
  });

  test('is asked without it where the name is one of NO_PROXY, or this host itself', async () => {
    for (const at of [`https://localhost:${port}`, `https://127.0.0.1:${port}`]) {
      connection[Symbol.dispose]();
      connection = open({ HTTPS_PROXY: proxy.url }, at);
      assert.equal((await ask('/', { at })).data, '/');
    }
    connection = open({ HTTPS_PROXY: proxy.url, NO_PROXY: 'example' });
    await assert.rejects(ask('/'), /getaddrinfo/);
    assert.deepEqual(proxy.asked, []);
  });

  test('is unavailable where the proxy refuses, is gone or leads to nobody, and no error has the password', async () => {
    proxy.manner = 'refuse';
    const refused = await ask('/').catch(error => error);
    assert.equal(refused.code, 'unavailable');
    assert.match(
      refused.message,
      /via http:\/\/127\.0\.0\.1:\d+\/: HTTP\/1\.1 407 Proxy Authentication Required/,
    );
    proxy.manner = 'lead';
    const nobody = await ask('/', { at: `https://proxied.example:${await freePort()}` }).catch(
      error => error,
    );
    assert.equal(nobody.code, 'unavailable');
    await proxy[Symbol.asyncDispose]();
    const gone = await ask('/').catch(error => error);
    assert.match(gone.message, /^the CA at proxied\.example:\d+ cannot be reached: .*ECONNREFUSED/);
    for (const error of [refused, nobody, gone])
      assert.doesNotMatch(`${error.message}${error.stack}${error.cause?.stack}`, /p@ss|p%40ss|dXNlcj/);
    proxy = await startConnectProxy();
  });

  test('is given up after the time for an answer where the proxy hangs, and at once where the signal fires', async () => {
    proxy.manner = 'hang';
    await assert.rejects(ask('/', { timeout: 50 }), { code: 'unavailable', message: /no answer within/ });
    const stop = new AbortController();
    const asking = ask('/', { signal: stop.signal });
    await waitUntil('the second CONNECT', async () => proxy.asked.length === 2);
    stop.abort(new Error('stopping'));
    await assert.rejects(asking, /^Error: stopping$/);
  });

  test('is not waited for by who disposes while the proxy hangs', async () => {
    proxy.manner = 'hang';
    const stop = new AbortController();
    const [asking, stopped] = [ask('/'), ask('/', { signal: stop.signal })];
    await waitUntil('both CONNECT', async () => proxy.asked.length === 2);
    stop.abort(new Error('stopping'));
    await assert.rejects(stopped, /^Error: stopping$/);
    connection[Symbol.dispose]();
    await assert.rejects(asking, /: the connection was closed$/);
    await waitUntil('the proxy to be left', async () => proxy.connections() === 0);
  });

  test('leaves a proxy that has refused, and harms nobody who disposes just then', async () => {
    proxy.manner = 'refuse';
    await assert.rejects(ask('/'), /407/);
    await waitUntil('the proxy to be left', async () => proxy.connections() === 0);
    await assert.rejects(ask('/'), /407/);
    connection[Symbol.dispose]();
    await waitUntil('the proxy to be left again', async () => proxy.connections() === 0);
  });

  test('is what quarry acme asks through the proxy of its environment', async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'account.pem');
    await writeFile(file, accountKeyPem);
    const env = { HTTPS_PROXY: proxy.url, ACME_CAFILE: authority.caFile };
    const words = ['unreg', file, `${proxied}/directory`, 'status'];
    await assert.rejects(acmeCommand.run(words, { env, write: () => undefined }), /is no ACME directory/);
    assert.equal(proxy.asked.length, 1);
  });
});
