import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { openListeners } from '../../../shared/base/listeners.ts';
import { freePort } from '../../support/free-port.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';

const loopback = { host: '127.0.0.1', port: 0, explicit: true };
const hello = () => createServer((_, response) => response.end('hello'));

test('openListeners() listens on every address and says the ports it found', async () => {
  await using listeners = await openListeners([loopback, loopback], hello, quietLog);
  assert.equal(listeners.addresses.length, 2);
  for (const { host, port } of listeners.addresses) {
    assert.equal(await (await fetch(`http://${host}:${port}`)).text(), 'hello');
  }
});

test('openListeners() names the address that is taken, and lets go of the others', async () => {
  await using taken = await openListeners([loopback], hello, quietLog);
  const { port } = taken.addresses[0] ?? { port: 0 };
  let made = 0;
  const count = () => {
    made++;
    return hello();
  };
  const opening = openListeners([loopback, { ...loopback, port }], count, quietLog);
  await assert.rejects(opening, new RegExp(`^Error: cannot listen on 127.0.0.1:${port}: .*EADDRINUSE`));
  assert.equal(made, 2); // and that the test ends shows that the first was closed
});

test('openListeners() goes on without a default address that the machine lacks, but not without a written one', async () => {
  const { log, lines } = keptLog();
  const missing = { host: '192.0.2.1', port: 0, explicit: false };
  await using listeners = await openListeners([missing, loopback], hello, log);
  assert.equal(listeners.addresses.length, 1);
  assert.deepEqual(
    lines.map(({ listener }) => listener),
    ['192.0.2.1:0'],
  );
  await assert.rejects(
    openListeners([{ ...missing, explicit: true }], hello, log),
    /cannot listen on 192\.0\.2\.1:0/,
  );
  await assert.rejects(openListeners([missing], hello, log), /there is no address to listen on/);
});

test('closing listeners ends idle connections at once', async () => {
  const listeners = await openListeners([loopback], hello, quietLog);
  const socket = connect(listeners.addresses[0]?.port ?? 0, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'data');
  const ended = once(socket, 'close');
  socket.resume();
  await Promise.all([listeners[Symbol.asyncDispose](), ended]);
});

test('openListeners() lets UDP and TCP share an address and its port', async () => {
  const echo = () => {
    const socket = createSocket('udp4');
    return [
      createTcpServer(tcp => tcp.end('tcp')),
      socket.on('message', (text, { port }) => socket.send(text, port)),
    ];
  };
  await using listeners = await openListeners([{ ...loopback, port: await freePort() }], echo, quietLog);
  assert.equal(listeners.addresses.length, 1);
  const { host, port } = listeners.addresses[0] ?? { host: '', port: 0 };
  assert.equal(await text(connect(port, host)), 'tcp');
  await using client = createSocket('udp4');
  client.send('udp', port, host);
  assert.equal(`${(await once(client, 'message'))[0]}`, 'udp');
});

test('openListeners() names the address whose UDP port is taken, and lets go of its TCP port', async () => {
  const port = await freePort();
  await using taken = createSocket('udp4').bind(port, '127.0.0.1');
  await once(taken, 'listening');
  const both = () => [createTcpServer(), createSocket('udp4')];
  const opening = openListeners([{ ...loopback, port }], both, quietLog);
  await assert.rejects(
    opening,
    new RegExp(`^Error: cannot listen on 127.0.0.1:${port} for UDP: .*EADDRINUSE`),
  );
  await taken[Symbol.asyncDispose]();
  await using _again = await openListeners([{ ...loopback, port }], both, quietLog);
});

test('openListeners() cuts bare connections that do not end after it was disposed of', async () => {
  const listeners = await openListeners([loopback], () => createTcpServer(), quietLog);
  const { port } = listeners.addresses[0] ?? { port: 0 };
  const client = connect(port, '127.0.0.1').on('error', () => {});
  await once(client, 'connect');
  const closed = once(client, 'close');
  await listeners[Symbol.asyncDispose]();
  await closed;
});
