import { createServer, type Server, type Socket } from 'node:net';
import { type ConnectionLimits, capConnections } from '../cap-connections.ts';
import { parseQuery } from './query.ts';
import type { Respond } from './respond.ts';

const LONGEST_MESSAGE = 65_535;

export type TcpLimits = ConnectionLimits & {
  /** Questions of one connection that are being answered; no more are read meanwhile. */
  pipelined: number;
  /** Milliseconds in which a connection has to bring a whole question and to take its answers. */
  idle: number;
};

export const usualLimits: TcpLimits = { connections: 512, perAddress: 32, pipelined: 32, idle: 10_000 };

/**
 * Messages behind their length, any number of them on a connection, answered as they get ready (RFC 7766).
 */
export function createTcpServer(
  respond: Respond,
  limits: TcpLimits,
): Server & { closeIdleConnections(): void } {
  const connections = capConnections(limits);
  const conversations = new WeakMap<Socket, Conversation>();

  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    socket.on('error', () => {}); // 'close' follows
    if (!connections.admit(socket)) return;
    conversations.set(
      socket,
      converse(socket, respond, limits, () => connections.heard(socket)),
    );
  });
  return Object.assign(server, {
    closeIdleConnections() {
      for (const socket of connections.all()) if (!conversations.get(socket)?.isBusy()) socket.destroy();
    },
  });
}

type Conversation = { isBusy(): boolean };

/** @param onQuestion gets each whole question */
function converse(socket: Socket, respond: Respond, limits: TcpLimits, onQuestion: () => void): Conversation {
  let received = Buffer.alloc(0);
  let answering = 0;
  let ended = false;
  let reading = false;
  const timer = setTimeout(() => socket.destroy(), limits.idle);
  const mayRead = () => answering < limits.pipelined && !socket.writableNeedDrain;

  function read(): void {
    if (reading) return; // an answer that came at once
    reading = true;
    const isDns = readQuestions();
    reading = false;
    if (!isDns) socket.destroy();
    else if (ended && answering === 0) socket.end();
    else if (mayRead()) socket.resume();
    else socket.pause();
  }

  /** @returns false where the client does not speak DNS */
  function readQuestions(): boolean {
    while (mayRead() && received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const length = 2 + received.readUInt16BE(0);
      const parsed = parseQuery(received.subarray(2, length));
      if (!parsed) return false;
      received = received.subarray(length);
      timer.refresh();
      onQuestion();
      answering++;
      respond(parsed, 'tcp', LONGEST_MESSAGE, reply => {
        answering--;
        send(reply);
      });
    }
    return true;
  }

  function send(reply: Buffer): void {
    if (socket.destroyed) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(reply.length);
    socket.write(Buffer.concat([length, reply]));
    timer.refresh();
    read();
  }

  socket.on('drain', read);
  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk]);
    read();
  });
  socket.once('end', () => {
    ended = true;
    read();
  });
  socket.once('close', () => clearTimeout(timer));
  return { isBusy: () => answering > 0 };
}
