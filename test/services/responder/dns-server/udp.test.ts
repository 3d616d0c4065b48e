import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Respond } from '../../../../services/responder/dns-server/respond.ts';
import { createUdpServer } from '../../../../services/responder/dns-server/udp.ts';
import { openListeners } from '../../../../shared/base/listeners.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { waitUntil } from '../../../support/wait-until.ts';
import { newQuery } from './open-dns-server.ts';

/** A server whose answers wait for `answer`, and a client that has asked it so many questions. */
async function openServer(questions: number, mostWaiting: number) {
  const [answer, log] = [Promise.withResolvers<Buffer>(), keptLog()];
  const limited: string[] = [];
  let asked = 0;
  const respond: Respond = (_parsed, _transport, _limit, reply) => {
    asked++;
    void answer.promise.then(reply);
  };
  const parts = {
    respond,
    verdictOn: () => 'answer' as const,
    limited: (how: string) => limited.push(how),
    mostWaiting,
  };
  const listeners = await openListeners(
    [{ host: '127.0.0.1', port: 0, explicit: true }],
    host => createUdpServer(host, { ...parts, log: log.log }),
    log.log,
  );
  const client = createSocket('udp4');
  const { port = 0 } = listeners.addresses[0] ?? {};
  let answered = 0;
  client.on('message', () => answered++);
  const ask = () => client.send(newQuery('www.acme.example.org', 'TXT'), port, '127.0.0.1');
  for (let count = 0; count < questions; count++) ask();
  await waitUntil('all to arrive', () => asked + limited.length === questions);
  return {
    answer,
    ask,
    answered: () => answered,
    client,
    log,
    limited,
    listeners,
    async [Symbol.asyncDispose]() {
      client.close();
      await listeners[Symbol.asyncDispose]();
    },
  };
}

test('DNS over UDP lets only so many questions wait, and passes over the rest', async () => {
  await using server = await openServer(5, 3);
  assert.deepEqual(server.limited, ['dropped', 'dropped']);
  server.answer.resolve(Buffer.from('answer'));
  assert.equal(`${(await once(server.client, 'message'))[0]}`, 'answer');
});

test('DNS over UDP is not disturbed by an answer that comes after it was closed', async () => {
  const server = await openServer(1, 3);
  await server.listeners[Symbol.asyncDispose]();
  server.answer.resolve(Buffer.from('answer'));
  await new Promise(done => setImmediate(done));
  server.client.close();
  assert.deepEqual(server.log.lines, []);
});

test('DNS over UDP lets more questions wait once those before them are answered', async () => {
  await using server = await openServer(3, 3);
  server.answer.resolve(Buffer.from('answer'));
  await waitUntil('all to be answered', () => server.answered() === 3);
  server.ask();
  await waitUntil('one more to be answered', () => server.answered() === 4);
  assert.deepEqual(server.limited, []);
});

test('DNS over UDP passes over a question from port 0, to which no answer can be sent', async () => {
  const log = keptLog();
  const replies: ((message: Buffer) => void)[] = [];
  const limited: string[] = [];
  const respond: Respond = (_parsed, _transport, _limit, reply) => void replies.push(reply);
  const parts = { respond, verdictOn: () => 'answer' as const, mostWaiting: 3, log: log.log };
  const socket = createUdpServer('127.0.0.1', { ...parts, limited: how => limited.push(how) });
  const peer = { address: '192.0.2.1', family: 'IPv4' as const, size: 40 };
  socket.emit('message', newQuery('www.acme.example.org', 'TXT'), { ...peer, port: 0 });
  for (const reply of replies) reply(Buffer.from('answer'));
  assert.deepEqual([replies.length, limited, log.lines], [0, [], []]);
  socket.close();
});
