import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { tlsAlpnServers } from '../../../services/responder/tls-alpn-server.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { openListeners } from '../../../shared/base/listeners.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import { lookAtAcmeTls, readAcmeIdentifier } from '../../support/acme-tls.ts';
import { keptLog } from '../../support/kept-log.ts';
import { waitUntil } from '../../support/wait-until.ts';

const digest = (text: string) => createHash('sha256').update(text).digest('base64url');

const known: Record<string, string> = {
  'www.example.org': digest('a name'),
  '192.0.2.1': digest('an address'),
  '2001:db8::1': digest('another'),
};
const reverse6 = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa';

async function openServer({ fault, isProxy = () => true }: { fault?: Error; isProxy?: () => boolean } = {}) {
  const [log, metrics] = [keptLog(), openMetrics()];
  const get = async (identifier: string) => {
    if (fault) throw fault;
    return known[identifier];
  };
  const limits = { connections: 6, perAddress: 3 };
  const parts = { responses: { get }, isProxy, limits, clock: systemClock, log: log.log, metrics };
  const servers = tlsAlpnServers(parts);
  const listeners = await openListeners([{ host: '127.0.0.1', port: 0, explicit: true }], servers, log.log);
  const { port = 0 } = listeners.addresses[0] ?? {};
  return { port, log, metrics, [Symbol.asyncDispose]: () => listeners[Symbol.asyncDispose]() };
}

for (const [serverName, value, names] of [
  ['www.example.org', 'www.example.org', 'DNS:www.example.org'],
  ['WWW.EXAMPLE.org', 'www.example.org', 'DNS:www.example.org'],
  ['1.2.0.192.in-addr.arpa', '192.0.2.1', 'IP Address:192.0.2.1'],
  [reverse6, '2001:db8::1', 'IP Address:2001:DB8:0:0:0:0:0:1'],
] as const)
  test(`the TLS-ALPN responder shows the certificate of ${value} to the server name ${serverName}`, async () => {
    await using server = await openServer();
    const seen = await lookAtAcmeTls(server.port, serverName);
    assert.ok('certificate' in seen, JSON.stringify(seen));
    assert.equal(seen.protocol, 'acme-tls/1');
    assert.equal(readAcmeIdentifier(seen.certificate), known[value]);
    assert.equal(new X509Certificate(seen.certificate).subjectAltName, names);
  });

test('the TLS-ALPN responder makes one certificate for all who look, and speaks TLS 1.2 too', async () => {
  await using server = await openServer();
  const looks = await Promise.all(
    Array.from({ length: 5 }, () => lookAtAcmeTls(server.port, 'www.example.org', { maxVersion: 'TLSv1.2' })),
  );
  const shown = looks.map(look => ('certificate' in look ? look.certificate.toString('hex') : look.reason));
  assert.equal(new Set(shown).size, 1);
});

for (const [what, serverName, options] of [
  ['a name that is not known', 'none.example.org', {}],
  ['no server name', '', {}],
  ['another protocol', 'www.example.org', { protocols: ['h2', 'http/1.1'] }],
  [
    'TLS 1.1',
    'www.example.org',
    { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  ],
] as const)
  test(`the TLS-ALPN responder refuses a handshake with ${what}`, async () => {
    await using server = await openServer();
    const seen = await lookAtAcmeTls(server.port, serverName, options);
    assert.ok('reason' in seen);
    assert.match(seen.reason, /ALERT|PROTOCOL|ECONNRESET/);
  });

test('the TLS-ALPN responder ends each connection after the handshake, whatever is sent on it', async () => {
  await using server = await openServer();
  for (const ALPNProtocols of [['acme-tls/1'], undefined]) {
    const options = {
      port: server.port,
      host: '127.0.0.1',
      servername: 'www.example.org',
      rejectUnauthorized: false,
    };
    const socket = connect({ ...options, ...(ALPNProtocols && { ALPNProtocols }) }).on('error', () => {});
    await once(socket, 'secureConnect');
    socket.write('GET / HTTP/1.1\r\n\r\n');
    let received = '';
    socket.on('data', text => {
      received += text;
    });
    await once(socket, 'close');
    assert.equal(received, '');
  }
});

test('the TLS-ALPN responder ends what is no TLS, and goes on', async () => {
  await using server = await openServer();
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x00\x05hello', '\0'.repeat(100)]) {
    const socket = connectTcp(server.port, '127.0.0.1').on('error', () => {});
    socket.end(bytes, 'latin1');
    await once(socket.resume(), 'close');
  }
  assert.ok('certificate' in (await lookAtAcmeTls(server.port, 'www.example.org')));
});

/** Connections that say nothing; `closed` are those that the responder has ended. */
async function connectSilently(port: number, count: number) {
  const sockets = Array.from({ length: count }, () => connectTcp(port, '127.0.0.1').on('error', () => {}));
  for (const socket of sockets) socket.resume();
  await Promise.all(sockets.map(socket => once(socket, 'connect')));
  const closed = () => sockets.filter(socket => socket.closed).length;
  return { closed, [Symbol.dispose]: () => sockets.forEach(socket => void socket.destroy()) };
}

test('the TLS-ALPN responder caps the connections of one address, and takes it in again once some are gone', async () => {
  await using server = await openServer({ isProxy: () => false });
  {
    using silent = await connectSilently(server.port, 5);
    await waitUntil('two to be ended', () => silent.closed() === 2);
    const seen = await lookAtAcmeTls(server.port, 'www.example.org');
    assert.ok('reason' in seen, 'the address has as many as it may');
  }
  await waitUntil(
    'it to be taken in',
    async () => 'certificate' in (await lookAtAcmeTls(server.port, 'www.example.org')),
  );
});

test('the TLS-ALPN responder takes many connections of a proxy, and ends the most silent one for another', async () => {
  await using server = await openServer();
  using silent = await connectSilently(server.port, 6);
  assert.ok('certificate' in (await lookAtAcmeTls(server.port, 'www.example.org')));
  await waitUntil('one to be ended', () => silent.closed() === 1);
});

test('the TLS-ALPN responder fails the handshake while Redis is away, and says why in its log', async () => {
  await using server = await openServer({ fault: new Error('connect ECONNREFUSED') });
  assert.ok('reason' in (await lookAtAcmeTls(server.port, 'www.example.org')));
  assert.match(server.log.text(), /"reason":"connect ECONNREFUSED"/);
});

test('the TLS-ALPN responder counts its handshakes', async () => {
  await using server = await openServer();
  for (const name of ['www.example.org', 'www.example.org', 'none.example.org'])
    await lookAtAcmeTls(server.port, name);
  for (const protocols of [[], ['h2']]) await lookAtAcmeTls(server.port, 'www.example.org', { protocols });
  await waitUntil('all to be counted', async () => {
    const figures = await server.metrics.metrics();
    return ['answered"} 2', 'failed"} 1', 'refused"} 2'].every(count =>
      figures.includes(`quarry_responder_tls_alpn_handshakes_total{result="${count}`),
    );
  });
});
