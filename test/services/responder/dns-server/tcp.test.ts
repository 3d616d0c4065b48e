import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Respond } from '../../../../services/responder/dns-server/respond.ts';
import { createTcpServer, type TcpLimits } from '../../../../services/responder/dns-server/tcp.ts';
import { openListeners } from '../../../../shared/base/listeners.ts';
import { quietLog } from '../../../support/quiet-log.ts';
import { waitUntil } from '../../../support/wait-until.ts';
import { framed, newQuery, readMessages } from './open-dns-server.ts';

const limits: TcpLimits = { connections: 4, perAddress: 4, pipelined: 8, idle: 60_000 };

const idOf = (parsed: Parameters<Respond>[0]) =>
  ('query' in parsed ? parsed.query : parsed).message.readUInt16BE(0);

function toReply(id: number, length = 2): Buffer {
  const reply = Buffer.alloc(length);
  reply.writeUInt16BE(id);
  return reply;
}

/** Answers that come later. */
const later =
  (toAnswer: (parsed: Parameters<Respond>[0]) => Promise<Buffer>): Respond =>
  (parsed, _transport, _limit, reply) =>
    void toAnswer(parsed).then(reply);

/** A server that answers each question at once, with its identifier; `respond` may do otherwise. */
async function openServer(
  own: Partial<TcpLimits> = {},
  respond: Respond = (parsed, _transport, _limit, reply) => reply(toReply(idOf(parsed))),
) {
  await using stack = new AsyncDisposableStack();
  const servers = () => createTcpServer(respond, { ...limits, ...own });
  const listeners = stack.use(
    await openListeners([{ host: '127.0.0.1', port: 0, explicit: true }], servers, quietLog),
  );
  const { port = 0 } = listeners.addresses[0] ?? {};
  const opened = stack.move();
  return {
    listeners,
    async connect(): Promise<Socket> {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      await once(socket, 'connect');
      opened.defer(() => void socket.destroy());
      return socket;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const query = (id: number) => newQuery('www.acme.example.org', 'TXT', { id });
const ids = (messages: Buffer[]) => messages.map(message => message.readUInt16BE(0));
const isAnswered = async (socket: Socket) => {
  socket.write(framed(query(9)));
  return (await readMessages(socket, 1)).length === 1;
};

test('DNS over TCP answers several questions of one connection, also in pieces of a byte', async () => {
  await using server = await openServer();
  const socket = await server.connect();
  socket.setNoDelay(true);
  for (const byte of framed(query(1), query(2))) {
    socket.write(Buffer.from([byte]));
    await delay(0);
  }
  assert.deepEqual(ids(await readMessages(socket, 2)), [1, 2]);
});

test('DNS over TCP answers what it has first first (RFC 7766 section 7)', async () => {
  const slow = Promise.withResolvers<void>();
  await using server = await openServer(
    {},
    later(async parsed => {
      if (idOf(parsed) === 1) await slow.promise;
      else slow.resolve();
      return toReply(idOf(parsed));
    }),
  );
  const socket = await server.connect();
  socket.write(framed(query(1), query(2)));
  assert.deepEqual(ids(await readMessages(socket, 2)), [2, 1]);
});

test('DNS over TCP answers what was asked before a client closed its side, then closes its own', async () => {
  const asked = Promise.withResolvers<void>();
  await using server = await openServer(
    {},
    later(async parsed => {
      await asked.promise;
      return toReply(idOf(parsed));
    }),
  );
  const socket = await server.connect();
  socket.end(framed(query(1), query(2)));
  asked.resolve();
  assert.deepEqual(ids(await readMessages(socket, 3)), [1, 2]);
});

test('DNS over TCP reads on only as answers are ready', async () => {
  const waiting: (() => void)[] = [];
  await using server = await openServer({ pipelined: 3 }, (parsed, _transport, _limit, reply) => {
    waiting.push(() => reply(toReply(idOf(parsed))));
  });
  const socket = await server.connect();
  socket.write(framed(...Array.from({ length: 10 }, (_, id) => query(id))));
  await waitUntil('three questions to wait', () => waiting.length === 3);
  await delay(50);
  assert.equal(waiting.length, 3);
  const reading = readMessages(socket, 10);
  for (let id = 0; id < 10; id++) {
    await waitUntil(`question ${id} to be read`, () => waiting.length > id);
    waiting[id]?.();
  }
  assert.equal((await reading).length, 10);
});

test('DNS over TCP answers all questions that come together, each at once', async () => {
  await using server = await openServer();
  const socket = await server.connect();
  const count = 20_000;
  socket.write(framed(...Array.from({ length: count }, (_, id) => newQuery('.', 'SOA', { id }))));
  assert.deepEqual(
    ids(await readMessages(socket, count)),
    Array.from({ length: count }, (_, id) => id),
  );
});

test('DNS over TCP does not pile up answers for a client that reads none', async () => {
  let answered = 0;
  await using server = await openServer({}, (parsed, _transport, _limit, reply) => {
    answered++;
    reply(toReply(idOf(parsed), 60_000));
  });
  const socket = await server.connect();
  socket.pause();
  const questions = framed(...Array.from({ length: 1_000 }, (_, id) => query(id)));
  socket.write(questions);
  let before = -1;
  await waitUntil('it to stop', async () => {
    await delay(100);
    const stopped = before === answered;
    before = answered;
    return stopped;
  });
  assert.ok(answered < 500, `${answered}`);
});

for (const [what, bytes] of [
  ['says nothing', Buffer.alloc(0)],
  ['does not end its question', framed(query(1)).subarray(0, -1)],
] as const)
  test(`DNS over TCP ends a connection that ${what}`, async () => {
    await using server = await openServer({ idle: 100 });
    const socket = await server.connect();
    socket.write(bytes);
    await once(socket.resume(), 'close');
  });

test('DNS over TCP ends a connection that dribbles a question byte by byte', async () => {
  await using server = await openServer({ idle: 200 });
  const socket = await server.connect();
  const dribble = setInterval(() => socket.write(Buffer.from([0])), 20);
  await once(socket.resume(), 'close');
  clearInterval(dribble);
});

test('DNS over TCP lets one address have only so many connections', async () => {
  await using server = await openServer({ perAddress: 2 });
  const [one, two] = [await server.connect(), await server.connect()];
  const third = await server.connect();
  await once(third.resume(), 'close');
  assert.deepEqual([await isAnswered(one), await isAnswered(two)], [true, true]);
});

test('DNS over TCP ends the connection that was silent for longest when there are too many', async () => {
  await using server = await openServer({ connections: 2 });
  const [one, two] = [await server.connect(), await server.connect()];
  one.write(framed(query(1)));
  await once(one, 'data');
  const third = await server.connect();
  await once(two.resume(), 'close');
  assert.deepEqual([await isAnswered(one), await isAnswered(third)], [true, true]);
});

test('DNS over TCP ends idle connections at once when it is closed, and lets the others have their answers', async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  await using server = await openServer(
    {},
    later(async parsed => {
      asked.resolve();
      await answer.promise;
      return toReply(idOf(parsed));
    }),
  );
  const [idle, busy] = [await server.connect(), await server.connect()];
  busy.write(framed(query(1)));
  await asked.promise;
  const closed = once(idle.resume(), 'close');
  const closing = server.listeners[Symbol.asyncDispose]();
  await closed;
  answer.resolve();
  assert.deepEqual(ids(await readMessages(busy, 1)), [1]);
  await closing;
});
