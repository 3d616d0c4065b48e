import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { parseEntry } from '../../../shared/trail/event.ts';
import { openSyslogConsumer } from '../../../shared/trail/syslog.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';

const host = '127.0.0.1';
const at = Date.parse('2026-11-27T10:00:00Z');
const events = [
  { at, event: 'issued', names: ['ä.example', 'b.example'], serial: '0a' },
  { at: at + 1, event: 'operator', detail: 'keys block\n x' },
];
const entries = [
  ...events.flatMap((event, n) => parseEntry(`${at}-${n}`, ['event', JSON.stringify(event)])),
  ...parseEntry(`${at}-2`, ['event', 'no\nevent']),
];
const head = (time: string, kind: string) => `<85>1 ${time} ${hostname()} quarry ${process.pid} ${kind} - `;
const messages = [
  `${head('2026-11-27T10:00:00.000Z', 'issued')}{"id":"${at}-0","event":"issued","names":["ä.example","b.example"],"serial":"0a"}`,
  `${head('2026-11-27T10:00:00.001Z', 'operator')}{"id":"${at}-1","event":"operator","detail":"keys block\\n x"}`,
  `${head('2026-11-27T10:00:00.000Z', 'unreadable')}{"id":"${at}-2","event":"unreadable","unread":"no\\nevent"}`,
];
const framed = messages.map(message => `${Buffer.byteLength(message)} ${message}`).join('');

/** What one client sends to a server. */
async function received(server: Server): Promise<string> {
  const [socket] = await once(
    server,
    server.listenerCount('secureConnection') > 0 ? 'secureConnection' : 'connection',
  );
  return text(socket);
}

const portOf = (server: { address(): string | AddressInfo | null }) => (server.address() as AddressInfo).port;

test('over UDP each event is a datagram (RFC 5426)', async () => {
  const socket = createSocket('udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  const got: string[] = [];
  socket.on('message', message => got.push(message.toString()));
  await openSyslogConsumer({ kind: 'udp', host, port: socket.address().port }).take(entries, '0-0');
  while (got.length < 3) await once(socket, 'message');
  socket.close();
  assert.deepEqual(got, messages);
});

test('over TCP frames are counted in octets (RFC 6587)', async () => {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const got = received(server);
  await openSyslogConsumer({ kind: 'tcp', host, port: portOf(server) }).take(entries, '0-0');
  assert.equal(await got, framed);
  server.close();
});

test('over TLS frames are the same, to a server that the authority knows (RFC 5425)', async () => {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const server = createTlsServer({ cert: await readFile(certFile), key: await readFile(keyFile) });
  const secured = once(server, 'secureConnection').then(([socket]) => text(socket));
  server.listen(0, host);
  await once(server, 'listening');
  const target = { kind: 'tls' as const, host, port: portOf(server) };
  await assert.rejects(openSyslogConsumer(target).take(entries, '0-0'), /self-signed certificate|unable to/);
  await openSyslogConsumer({ ...target, caFile }).take(entries, '0-0');
  assert.equal(await secured, framed);
  server.close();
});

test('over a socket of the system the logger command sends them', async () => {
  await using dir = await tempDir();
  const path = join(dir.path, 'log');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const got = received(server);
  await openSyslogConsumer({ kind: 'unix', path }).take(entries, '0-0');
  const lines = (await got).split('\n').filter(line => line !== '');
  assert.equal(lines.length, 3);
  for (const [index, line] of lines.entries()) {
    assert.match(line, /^<85>1 \S+ \S+ quarry - trail /);
    const message = messages[index] ?? '';
    assert.ok(line.endsWith(message.slice(message.indexOf('{'))), line);
  }
  server.close();
  await once(server, 'close');
  await assert.rejects(
    openSyslogConsumer({ kind: 'unix', path }).take(entries, '0-0'),
    /logger failed: .*log/,
  );
});

test('a server that is not there fails the batch, so that it comes again', async () => {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  await assert.rejects(openSyslogConsumer({ kind: 'tcp', host, port }).take(entries, '0-0'), /ECONNREFUSED/);
});
