import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { waitUntil } from '../../support/wait-until.ts';
import {
  bad,
  closing,
  get,
  kept,
  keyAuthorization,
  last,
  makeServers,
  notFound,
  open,
  openResponder,
  refusal,
  say,
  serveHttp01,
  token,
} from './open-http01.ts';

test('a responder refuses the begin of TLS at once', async () => {
  await using responder = await openResponder();
  assert.equal(await say(responder, '\x16\x03\x01\x02'), bad);
});

test('more requests may come at once than are kept', async () => {
  const look = async () => {
    await new Promise(setImmediate);
    return null;
  };
  await using server = await serveHttp01({ responses: { get: look } });
  const said = await say(server, get().repeat(2_000) + last);
  assert.equal(said.split('HTTP/1.1 404 ').length - 1, 2_001);
});

test('a request may come byte by byte', async () => {
  await using responder = await openResponder();
  const socket = await open(responder);
  for (const byte of last) {
    socket.write(byte);
    await new Promise(setImmediate);
  }
  assert.equal(await text(socket), closing + keyAuthorization);
});

test('a client that has said all still gets its answer', async () => {
  const { promise: found, resolve } = Promise.withResolvers<string>();
  let asked = false;
  const look = () => {
    asked = true;
    return found;
  };
  await using server = await serveHttp01({ responses: { get: look } });
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(get());
  const answer = text(socket);
  await waitUntil('the token to be looked up', () => asked);
  resolve(keyAuthorization);
  assert.match(await answer, new RegExp(`\r\n\r\n${keyAuthorization}$`));
});

test('a client that breaks off in a request is told so', async () => {
  await using responder = await openResponder();
  const socket = await open(responder);
  socket.end('GET / HT');
  assert.equal(await text(socket), bad);
});

for (const looksUp of [false, true])
  test(`a client whose body is still on its way reads the answer${looksUp ? ' to a look-up' : ''}`, async () => {
    const { promise: found, resolve } = Promise.withResolvers<string>();
    await using server = await serveHttp01({ responses: { get: () => found } });
    const [socket, body] = [await open(server), 'x'.repeat(8 * 1024 * 1024)];
    socket.write(get(`Content-Length: ${body.length}`).replace('GET', looksUp ? 'GET' : 'POST'));
    const sent = new Promise(done => socket.write(body, done));
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    resolve(keyAuthorization);
    await sent; // it reads only then
    assert.equal(await text(socket), looksUp ? closing + keyAuthorization : notFound('close'));
  });

test('a client that goes away while its token is looked up is no bother to others', async () => {
  const asked: PromiseWithResolvers<string>[] = [];
  const look = () => {
    asked.push(Promise.withResolvers());
    return asked.at(-1)?.promise ?? '';
  };
  await using server = await serveHttp01({ responses: { get: async () => look() } });
  const gone = await open(server);
  gone.write(get());
  await waitUntil('the token to be looked up', () => asked.length === 1);
  gone.resetAndDestroy();
  const other = say(server, last);
  await waitUntil('it to be looked up again', () => asked.length === 2);
  for (const { resolve } of asked) resolve(keyAuthorization);
  assert.equal(await other, closing + keyAuthorization);
});

for (const [what, bytes, wanted] of [
  ['that brings no whole request is told so', 'GET / HTTP/1.1\r\n', refusal('408 Request Timeout')],
  ['that says nothing is let go', '', ''],
  ['that asks no more is let go', get(), kept.replace('=10', '=0') + keyAuthorization],
] as const)
  test(`a client ${what} when its time is over`, async () => {
    await using responder = await openResponder({ receive: 100 });
    assert.equal(await say(responder, bytes), wanted);
  });

/** A connection whose client takes nothing: what is written to it stays. */
const clogged = () => new Duplex({ read() {}, write() {}, highWaterMark: 65_536 });

test('a client that takes no answer is asked for no second one, and let go when its time is over', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const asked: string[] = [];
  const ask = async (one: string) => `${asked.push(one)}`;
  const server = makeServers({ responses: { get: ask } })();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = clogged();
  server.emit('connection', socket);
  const others = Array.from({ length: 4_000 }, (_, n) => get().replace(token, `${n}`.padStart(43, 'n')));
  for (const one of others) socket.push(one);
  await waitUntil('reading to stop', () => socket.isPaused());
  assert.ok(socket.readableLength > 300_000, `${socket.readableLength}`);
  t.mock.timers.tick(11_000);
  server.close();
  assert.ok(socket.destroyed);
  assert.equal(asked.length, 1);
});

test('a client that asks without end is read no faster than it is answered', async () => {
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const unread: number[] = [];
  const look = async () => {
    await new Promise(setImmediate);
    unread.push(wire.readableLength);
    return null;
  };
  makeServers({ responses: { get: look } })().emit('connection', wire);
  const many = get().repeat(600);
  for (let chunk = 0; chunk < 20; chunk++) wire.push(many);
  await waitUntil('it to be answered some times', () => unread.length >= 10);
  wire.destroy();
  assert.deepEqual(new Set(unread), new Set([18 * many.length])); // as two were taken at first
});

test('the time of a client begins anew with each answer', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  await using responder = await openResponder();
  const socket = await open(responder);
  for (let asked = 0; asked < 3; asked++) {
    socket.write(get());
    await once(socket, 'data');
    t.mock.timers.tick(9_000);
  }
  const closed = once(socket.resume(), 'close');
  t.mock.timers.tick(2_000);
  await closed;
});

test('a client that ends its side before it has taken its answer is let go then', async () => {
  const taken: (() => void)[] = [];
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => void taken.push(done) });
  makeServers({ responses: { get: async () => keyAuthorization } })().emit('connection', wire);
  wire.push(get());
  await waitUntil('it to be answered', () => taken.length > 0);
  wire.push(null);
  await once(wire, 'end');
  const closed = once(wire, 'close');
  taken[0]?.();
  await closed;
});

test('a server ends all connections that it is told to end', () => {
  const server = makeServers({ responses: { get: async () => null } })();
  const socket = clogged();
  server.emit('connection', socket);
  server.destroyConnections();
  assert.ok(socket.destroyed);
});

test('a look-up may take longer than a client', async () => {
  const { promise: found, resolve } = Promise.withResolvers<string>();
  await using server = await serveHttp01({ responses: { get: () => found }, receive: 50 });
  const answer = say(server, last);
  const other = await open(server);
  await once(other.resume(), 'close'); // its time is over
  resolve(keyAuthorization);
  assert.equal(await answer, closing + keyAuthorization);
});

test('where there are too many connections, the oldest gives way', async () => {
  await using responder = await openResponder({ connections: 2 });
  const [first, second] = [await open(responder), await open(responder)];
  const closed = once(first.resume(), 'close');
  const third = await open(responder);
  await closed;
  for (const socket of [second, third]) {
    socket.write(last);
    assert.equal(await text(socket), closing + keyAuthorization);
  }
});

test('of connections that come at once, no more stay than may', () => {
  const server = makeServers({ responses: { get: async () => null }, connections: 2 })();
  const sockets = [1, 2, 3, 4, 5].map(clogged);
  for (const socket of sockets) server.emit('connection', socket);
  assert.deepEqual(
    sockets.map(({ destroyed }) => destroyed),
    [true, true, true, false, false],
  );
});

test('a responder that stops ends what is idle at once, and answers what was asked', async () => {
  const found = [Promise.resolve(keyAuthorization), Promise.withResolvers<string>()] as const;
  let looks = 0;
  const look = () => (looks++ === 0 ? found[0] : found[1].promise);
  const server = await serveHttp01({ responses: { get: look } });
  const idle = await open(server);
  idle.write(get());
  await once(idle, 'data');
  const ended = once(idle.resume(), 'close');
  const busy = await open(server);
  busy.write(get().replace(token, token.toLowerCase()));
  const answer = text(busy);
  await waitUntil('the other token to be looked up', () => looks === 2);
  const stopped = server[Symbol.asyncDispose]();
  await ended;
  found[1].resolve(keyAuthorization);
  assert.equal(await answer, closing + keyAuthorization);
  await stopped;
});
