import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { openSelfCheck, type SelfCheckConfig } from '../../../shared/solver/self-check.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';

const response = {
  identifier: { type: 'ip', value: '127.0.0.1' } as const,
  token: 'tokentokentokentoken',
  keyAuthorization: 'tokentokentokentoken.thumbprint',
};
const path = `/.well-known/acme-challenge/${response.token}`;
const signal = new AbortController().signal;

/** Serves names on a free port, and lets the check look there. */
async function lookAt(
  handler: RequestListener,
  config: Partial<SelfCheckConfig> = {},
): Promise<string | undefined> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const networks = ['127.0.0.0/8'];
    return await openSelfCheck({ mode: 'warn', resolvers: [], port, networks, ...config })(response, signal);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('the self-check is content with the key authorization, white space at the end included', async () => {
  const fault = await lookAt((request, answer) => {
    answer.statusCode = request.url === path && request.headers.host === '127.0.0.1' ? 200 : 400;
    answer.end(`${response.keyAuthorization}\n`);
  });
  assert.equal(fault, undefined);
});

test('the self-check follows redirects', async () => {
  const fault = await lookAt((request, answer) => {
    if (request.url !== '/elsewhere') return answer.writeHead(301, { Location: '/elsewhere' }).end();
    return answer.end(response.keyAuthorization);
  });
  assert.equal(fault, undefined);
});

test('the self-check gives up on redirects without end', async () => {
  const fault = await lookAt((_, answer) => answer.writeHead(302, { Location: path }).end());
  assert.match(fault ?? '', /redirects again and again$/);
});

test('the self-check says that a web server answers in place of the responder', async () => {
  const fault = await lookAt((_, answer) => answer.writeHead(404).end('<h1>Not found</h1>'));
  assert.match(
    fault ?? '',
    /^Quarry looked at http:\/\/127\.0\.0\.1 \(127\.0\.0\.1\) itself and saw status 404: is \/\.well-known/,
  );
});

test('the self-check tells nothing of what a stranger answers', async () => {
  const fault = await lookAt((_, answer) => answer.end('other.secret'));
  assert.match(fault ?? '', /saw another answer than its own/);
  assert.doesNotMatch(fault ?? '', /secret/);
});

test('the self-check reads no more than an answer can be long', async () => {
  const fault = await lookAt((_, answer) => {
    const endless = setInterval(() => answer.write('x'.repeat(65_536)), 1);
    answer.on('close', () => clearInterval(endless));
  });
  assert.match(fault ?? '', /another answer than its own/);
});

test('the self-check does not go to addresses that are not public, also by a redirect', async () => {
  const straight = await openSelfCheck({ mode: 'warn', port: 1, resolvers: [], networks: [] })(
    response,
    signal,
  );
  assert.match(straight ?? '', /leads to 127\.0\.0\.1, which is not public$/);
  const redirected = await lookAt((_, answer) =>
    answer.writeHead(302, { Location: 'http://10.0.0.1/secret' }).end(),
  );
  assert.match(redirected ?? '', /10\.0\.0\.1, which is not public$/);
  const elsewhere = await lookAt((_, answer) =>
    answer.writeHead(302, { Location: 'ftp://127.0.0.1/' }).end(),
  );
  assert.match(elsewhere ?? '', /a redirect leads to ftp:$/);
});

test('the self-check says that nobody listens, or that the name leads nowhere', async () => {
  const config = {
    mode: 'warn',
    port: 1,
    resolvers: [{ host: '127.0.0.1', port: 1 }],
    networks: ['127.0.0.0/8'],
  } as const;
  const look = openSelfCheck({ ...config, resolvers: [...config.resolvers], networks: [...config.networks] });
  assert.match((await look(response, signal)) ?? '', /connect ECONNREFUSED 127\.0\.0\.1:1$/);
  const named = { ...response, identifier: { type: 'dns', value: 'www.example.org' } as const };
  assert.match(
    (await look(named, signal)) ?? '',
    /^Quarry looked at http:\/\/www\.example\.org itself: no address found/,
  );
});

test('the self-check ends when its signal fires', async () => {
  const stop = new AbortController();
  const server = createServer(() => stop.abort(new Error('the job has ended'))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const look = openSelfCheck({ mode: 'warn', port, resolvers: [], networks: ['127.0.0.0/8'] });
  await assert.rejects(look(response, stop.signal), { message: 'the job has ended' });
  server.closeAllConnections();
  server.close();
});

test('the self-check goes through its own proxy, which looks names up', async () => {
  const asked: string[] = [];
  const proxy = createServer((request, answer) => {
    asked.push(`${request.url} ${request.headers.host} ${request.headers['proxy-authorization']}`);
    answer.end(response.keyAuthorization);
  }).listen(0, '127.0.0.1');
  using cleanup = new DisposableStack();
  const end = () => void proxy.close().closeAllConnections();
  cleanup.defer(end);
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const url = `http://u:p@127.0.0.1:${port}`;
  const config = { mode: 'warn', port: 80, resolvers: [], networks: [] } as const;
  const look = openSelfCheck({ ...config, resolvers: [], networks: [], proxy: { HTTP_PROXY: url } });
  const named = { ...response, identifier: { type: 'dns', value: 'www.example.org' } as const };
  assert.equal(await look(named, signal), undefined);
  assert.deepEqual(asked, [`http://www.example.org${path} www.example.org Basic dTpw`]);
  end();
  const fault = await look(named, signal);
  assert.match(fault ?? '', /^Quarry looked at http:\/\/www\.example\.org itself: connect ECONNREFUSED/);
});

test('the self-check follows a redirect to https through its proxy', async () => {
  await using proxy = await startConnectProxy();
  const { certFile, keyFile } = await tlsAuthority();
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const server = createTlsServer({ cert, key }, (_, answer) => answer.end(response.keyAuthorization));
  server.listen(0, '127.0.0.1');
  using cleanup = new DisposableStack();
  cleanup.defer(() => void server.close().closeAllConnections());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const Location = `https://www.example.org:${port}/`;
  proxy.onRequest = (_, answer) => answer.writeHead(302, { Location }).end();
  const look = openSelfCheck({
    ...{ mode: 'warn', port: 80, resolvers: [], networks: [] },
    proxy: { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url },
  });
  const named = { ...response, identifier: { type: 'dns', value: 'www.example.org' } as const };
  assert.equal(await look(named, signal), undefined);
  assert.deepEqual(
    proxy.asked.map(({ authority }) => authority),
    [`www.example.org:${port}`],
  );
});
