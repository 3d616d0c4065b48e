import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { after, afterEach, suite, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { lookAtAcmeTls } from '../support/acme-tls.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { assertChain } from '../support/chain.ts';
import { type CsrOptions, makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { freePorts } from '../support/free-port.ts';
import { startNginx } from '../support/nginx.ts';
import { shownBlock } from '../support/pages.ts';
import { provision } from '../support/provision.ts';
import { tlsAuthority } from '../support/tls-authority.ts';
import { waitUntil } from '../support/wait-until.ts';

// Whole orders: over IPv4 Pebble meets an nginx that has the port, over IPv6 a responder itself.

const [tlsPort, one, other, webPort, httpPort] = (await freePorts(5)) as [
  number,
  number,
  number,
  number,
  number,
];
const fleet = await startFleet({ roles: [], pebble: { tlsPort } });
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

const blocks = (...listeners: string[]) => `
[verification "tls"]
type = tlsalpn01
${listeners.map(listener => `listener = ${listener}`).join('\n')}
[auth "all"]
all = yes
domain = *
address = 127.0.0.0/8
address = ::1
verification = tls
`;
const first = blocks(`127.0.0.1:${one}`, `[::1]:${tlsPort}`);
await Promise.all((['intake', 'worker'] as const).map(role => fleet.start(role, { blocks: first })));
await fleet.start('responder', { blocks: first });
await fleet.start('responder', { blocks: blocks(`127.0.0.1:${other}`) });

/** As the page of tlsalpn01 shows it, but for addresses and ports. */
const documented = (): string =>
  shownBlock('shared/solver/tlsalpn01.md', 'nginx')
    .replace('192.0.2.13:13443', `127.0.0.1:${one}`)
    .replace('192.0.2.14:13443', `127.0.0.1:${other}`)
    .replace('127.0.0.1:8443', `127.0.0.1:${webPort}`)
    .replace('listen 443', `listen 127.0.0.1:${tlsPort}`);

const { certFile, keyFile } = await tlsAuthority();
const web = `
server { listen 127.0.0.1:${httpPort}; }
server {
  listen 127.0.0.1:${webPort} ssl;
  ssl_certificate ${certFile};
  ssl_certificate_key ${keyFile};
  location / { return 200 'the web server'; }
}`;
const nginx = await startNginx(web, httpPort, documented());
after(() => nginx[Symbol.asyncDispose]());

async function sign(options: CsrOptions) {
  const { csrPem, keyPem } = await makeCsr(options);
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 200, body);
  const names = [...options.names, ...(options.ips ?? [])];
  const shown = names.map(name => (name === '::1' ? '0:0:0:0:0:0:0:1' : name));
  assertChain(body, { names: shown, keyPem, rootPem: await fleet.pebble.rootPem() });
}

suite('an order proven by TLS-ALPN', () => {
  test('of a name, through nginx', () => sign({ names: ['www.tls.example'] }));
  test('of many names', () => sign({ names: Array.from({ length: 10 }, (_, n) => `n${n}.tls.example`) }));
  test('of an IPv4 address, through nginx', () => sign({ names: [], ips: ['127.0.0.1'] }));
  test('of an IPv6 address', () => sign({ names: [], ips: ['::1'] }));
  test('of names and addresses together', () =>
    sign({ names: ['mixed.tls.example'], ips: ['127.0.0.1', '::1'] }));

  test('waits for another for the same name', async () => {
    const orders = [
      ['same.tls.example'],
      ['same.tls.example', 'more.tls.example'],
      ['more.tls.example', 'same.tls.example'],
    ];
    await Promise.all(orders.map(names => sign({ names })));
  });

  test('leaves nothing in Redis', async () => {
    await waitUntil(
      'all to be withdrawn',
      async () => (await fleet.redisClient.keys('{quarry}:tls*')).length === 0,
    );
  });

  test('goes on while one of two responders is away', async () => {
    await fleet.all('responder')[1]?.kill();
    await sign({ names: ['half.tls.example', 'alf.tls.example'] });
    await fleet.start('responder', { blocks: blocks(`127.0.0.1:${other}`) });
  });
});

test("nginx's other clients reach the web server", async () => {
  for (const ALPNProtocols of [['http/1.1'], []]) {
    const options = {
      host: '127.0.0.1',
      port: tlsPort,
      rejectUnauthorized: false,
      ALPNProtocols,
      agent: false as const,
    };
    const body = await new Promise<string>((done, fail) => {
      request(options, answer => void text(answer).then(done, fail))
        .on('error', fail)
        .end();
    });
    assert.equal(body, 'the web server');
  }
});

test('a responder waits with a handshake for a Redis that is being restarted', async () => {
  const digest = 'd'.repeat(43);
  const responses = openTlsAlpnResponses({ redis: fleet.redisClient, prefix: '{quarry}' }, systemClock);
  await responses.put([{ identifier: 'here.tls.example', digest }]);
  await fleet.redis.stop();
  const looking = lookAtAcmeTls(one, 'here.tls.example');
  await fleet.redis.restart();
  assert.ok('certificate' in (await looking));
});

test('a look from outside without an order is answered as the page says', async () => {
  const { openssl } = await provision(['openssl']);
  const script = shownBlock('shared/solver/tlsalpn01.md', 'sh', 's_client')
    .replace('openssl', `'${openssl}'`)
    .replace('www.example.org:443', `127.0.0.1:${tlsPort}`);
  const said = await new Promise(done =>
    execFile('/bin/sh', ['-c', script], (_, out, err) => done(out + err)),
  );
  assert.match(`${said}`, /alert handshake failure/);
});

test('quarry check lists the listeners for TLS-ALPN, and --probe greets them', async () => {
  const listeners = [`127.0.0.1:${one}`, `[::1]:${tlsPort}`];
  const probe = async (blocks: string) =>
    (await callQuarryWith(await fleet.ini({ blocks }), ['check', '--probe', 'main.ini'])).stdout;
  await waitUntil('the responder to have its Redis again', async () => {
    const output = await probe(blocks(...listeners));
    assert.ok(output.includes(`  verification "tls"   ${listeners.join(', ')}\n`), output);
    return output.includes(
      `[verification "tls"] tlsalpn01: ${listeners.join(', ')} answered with the test response\n`,
    );
  });
  const web = await probe(blocks(`127.0.0.1:${webPort}`));
  assert.match(
    web,
    /tlsalpn01: FAILED: 127\.0\.0\.1:\d+ (speaks TLS, but not acme-tls\/1|does not speak TLS)/,
  );
});
