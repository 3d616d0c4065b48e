import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { openSelfCheck, type SelfCheckConfig } from '../../../shared/solver/self-check.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { keptLog } from '../../support/kept-log.ts';
import { listen } from '../../support/listen.ts';
import { reply, startScriptedDns } from '../../support/scripted-dns.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';

const response = {
  identifier: { type: 'ip', value: '127.0.0.1' } as const,
  token: 'tokentokentokentoken',
  keyAuthorization: 'tokentokentokentoken.thumbprint',
};
const path = `/.well-known/acme-challenge/${response.token}`;
const signal = new AbortController().signal;

const log = keptLog();
/** What a client is told of a look that went to an address that is reserved. */
const untold =
  'Quarry looked at http://127.0.0.1 itself and did not see its response: is /.well-known/acme-challenge/ passed on to a responder there?';

/** Serves names on a free port, and lets the check look there. */
async function lookAt(
  handler: RequestListener,
  config: Partial<SelfCheckConfig> = {},
): Promise<{ fault: string; logged: unknown } | undefined> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const networks = ['127.0.0.0/8'];
    const look = openSelfCheck({ mode: 'warn', resolvers: [], port, networks, ...config }, log.log);
    const fault = await look(response, signal);
    const [seen] = log.lines.splice(0);
    return fault === undefined ? undefined : { fault, logged: seen?.msg };
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

test('the self-check follows ten redirects, and no more', async () => {
  const redirect = (most: number): RequestListener => {
    let redirects = 0;
    return (_, answer) =>
      redirects++ < most
        ? answer.writeHead(308, { Location: `/${redirects}?of=${most}` }).end()
        : answer.end(response.keyAuthorization);
  };
  assert.equal(await lookAt(redirect(10)), undefined);
  assert.match(`${(await lookAt(redirect(11)))?.logged}`, /redirects again and again$/);
});

for (const [what, status, Location, reason] of [
  ['another port', 301, 'http://127.0.0.1:6379/', /to port 6379; CAs follow to 80 and 443 alone$/],
  ['another protocol', 302, 'ftp://127.0.0.1/', /itself: a redirect leads to ftp:$/],
  ['a host that lacks a slash', 302, 'http://a.example.well-known/x', /is there a \/ missing in it\?$/],
  ['an endless path', 307, `/${'x'.repeat(2_000)}`, /a path that is too long$/],
  ['nothing', 301, 'http://[', /no valid URL$/],
  ['what was not asked for', 303, path, /^Quarry looked \(127\.0\.0\.1\) itself and saw status 303: is /],
] as const)
  test(`the self-check follows no redirect to ${what}, as no CA does`, async () => {
    const seen = await lookAt((_, answer) => answer.writeHead(status, { Location }).end());
    assert.match(`${seen?.logged}`, reason);
  });

test('the self-check follows redirects to 443 as to a name that has nothing else', async () => {
  const seen = await lookAt((_, answer) =>
    answer.writeHead(301, { Location: 'https://127.0.0.1:443/' }).end(),
  );
  assert.doesNotMatch(`${seen?.logged}`, /a redirect leads/);
});

test('the self-check says that a web server answers in place of the responder', async () => {
  const seen = await lookAt((_, answer) => answer.writeHead(404).end('<h1>Not found</h1>'));
  assert.equal(
    `${seen?.logged}`,
    'Quarry looked (127.0.0.1) itself and saw status 404: is /.well-known/acme-challenge/ passed on to a responder there?',
  );
});

test('the self-check tells nothing of what a stranger answers', async () => {
  const seen = await lookAt((_, answer) => answer.end('other.secret'));
  assert.match(`${seen?.logged}`, /saw another answer than its own/);
  assert.doesNotMatch(JSON.stringify(seen), /secret/);
});

test('the self-check tells a client the same of every reserved address, whether anybody listens there or not', async () => {
  const closed = await lookAt((_, answer) => answer.end(), { port: 1 });
  assert.match(`${closed?.logged}`, /connect ECONNREFUSED/);
  const hangingUp = await lookAt(({ socket }) => socket.destroy());
  const faults = [closed, hangingUp];
  for (const status of [200, 404, 500])
    faults.push(await lookAt((_, answer) => answer.writeHead(status).end()));
  faults.push(await lookAt((_, answer) => answer.writeHead(301, { Location: 'http://10.0.0.1/' }).end()));
  assert.deepEqual(
    faults.map(one => one?.fault),
    faults.map(() => untold),
  );
});

test('the self-check reads no more than an answer can be long', async () => {
  const seen = await lookAt((_, answer) => {
    const endless = setInterval(() => answer.write('x'.repeat(65_536)), 1);
    answer.on('close', () => clearInterval(endless));
  });
  assert.match(`${seen?.logged}`, /another answer than its own/);
});

test('the self-check does not go to addresses that are not public, also by a redirect', async () => {
  const look = openSelfCheck({ mode: 'warn', port: 1, resolvers: [], networks: [] }, log.log);
  assert.match((await look(response, signal)) ?? '', /leads to 127\.0\.0\.1, which is not public$/);
  const redirected = await lookAt((_, answer) =>
    answer.writeHead(302, { Location: 'http://10.0.0.1/x' }).end(),
  );
  assert.match(`${redirected?.logged}`, /10\.0\.0\.1, which is not public$/);
});

test('the self-check says that the name leads nowhere', async () => {
  const [resolvers, networks] = [[{ host: '127.0.0.1', port: 1 }], ['127.0.0.0/8']];
  const look = openSelfCheck({ mode: 'warn', port: 1, resolvers, networks }, log.log);
  const named = { ...response, identifier: { type: 'dns', value: 'www.example.org' } as const };
  assert.match(
    (await look(named, signal)) ?? '',
    /^Quarry looked at http:\/\/www\.example\.org itself: no address found/,
  );
});

test('the self-check asks the IPv4 address where that of IPv6 is not answered, as a CA does', async () => {
  await using dns = await startScriptedDns(asked => {
    const [question] = asked.questions ?? [];
    const { name = '', type } = question ?? {};
    const data = type === 'AAAA' ? '2001:db8::1' : '127.0.0.1';
    return [reply(asked, [{ name, type: type === 'AAAA' ? 'AAAA' : 'A', data, ttl: 1 }])];
  });
  await using server = await listen((_, answer) => answer.end(response.keyAuthorization));
  const { port } = server;
  const networks = ['127.0.0.0/8', '2001:db8::/32'];
  const config: SelfCheckConfig = { mode: 'warn', port, resolvers: [dns.server], networks };
  const look = openSelfCheck(config, log.log);
  const named = { ...response, identifier: { type: 'dns', value: 'www.example.org' } as const };
  assert.equal(await look(named, signal), undefined);
  const onlyPublic = { ...config, networks: ['127.0.0.0/8'] };
  assert.equal(await openSelfCheck(onlyPublic, log.log)(named, signal), undefined, 'another is no obstacle');
});

test('the self-check ends when its signal fires', async () => {
  const stop = new AbortController();
  const server = createServer(() => stop.abort(new Error('the job has ended'))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const look = openSelfCheck({ mode: 'warn', port, resolvers: [], networks: ['127.0.0.0/8'] }, log.log);
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
  const through = { ...config, resolvers: [], networks: [], proxy: { HTTP_PROXY: url } };
  const look = openSelfCheck(through, (await keptLog()).log);
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
  const config: SelfCheckConfig = {
    ...{ mode: 'warn', port, resolvers: [], networks: [] },
    proxy: { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url },
  };
  const look = openSelfCheck(config, (await keptLog()).log);
  const named = { ...response, identifier: { type: 'dns', value: 'www.example.org' } as const };
  assert.equal(await look(named, signal), undefined);
  assert.deepEqual(
    proxy.asked.map(({ authority }) => authority),
    [`www.example.org:${port}`],
  );
});
