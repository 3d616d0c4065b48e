import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { http01Servers } from '../../../services/responder/http01-server.ts';
import { openListeners } from '../../../shared/base/listeners.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import { heldClock } from '../../support/held-clock.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';

type Parts = Parameters<typeof http01Servers>[0];

/** The servers of http-01 with what a test does not say. */
export const makeServers = (parts: Pick<Parts, 'responses'> & Partial<Parts>) =>
  http01Servers({
    outlast: ask => ask(),
    ...{ connections: Number.POSITIVE_INFINITY, receive: 10_000 },
    ...{ clock: heldClock(1_000_000), log: quietLog, metrics: openMetrics() },
    ...parts,
  });

/** One of them on a free port of loopback. */
export async function serveHttp01(parts: Parameters<typeof makeServers>[0]) {
  const loopback = { host: '127.0.0.1', port: 0, explicit: true };
  const listeners = await openListeners([loopback], makeServers(parts), quietLog);
  const port = listeners.addresses[0]?.port ?? 0;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => listeners[Symbol.asyncDispose](),
  };
}

export const token = 'LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0';
export const keyAuthorization = `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
export const path = `/.well-known/acme-challenge/${token}`;

/** A responder that knows one token at first; `asked` are those that it looked up. */
export async function openResponder({ fault, ...limits }: { fault?: Error } & Partial<Parts> = {}) {
  const asked: string[] = [];
  const known = new Map([[token, keyAuthorization]]);
  const [log, metrics, clock] = [keptLog(), openMetrics(), heldClock(1_000_000)];
  const get = async (one: string) => {
    asked.push(one);
    if (fault) throw fault;
    return known.get(one) ?? null;
  };
  const server = await serveHttp01({ responses: { get }, clock, log: log.log, metrics, ...limits });
  return { ...server, asked, known, clock, log, metrics };
}

export const get = (...fields: string[]) =>
  [`GET ${path} HTTP/1.1`, 'Host: x', ...fields, '', ''].join('\r\n');
export const last = get('Connection: close');
const date = 'Date: Thu, 01 Jan 1970 00:16:40 GMT';
const kind = 'Content-Type: application/octet-stream\r\nContent-Length: 87';
export const kept = `HTTP/1.1 200 OK\r\n${kind}\r\n${date}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=10\r\n\r\n`;
export const closing = `HTTP/1.1 200 OK\r\n${kind}\r\n${date}\r\nConnection: close\r\n\r\n`;
export const refusal = (status: string) => `HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`;
export const bad = refusal('400 Bad Request');
export const notFound = (connection: string) =>
  `HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n${date}\r\nConnection: ${connection}\r\n\r\nnot found\n`;

export async function open({ port }: { port: number }): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

/** All that is said on a connection, to its end by the server. */
export async function say(server: { port: number }, bytes: string): Promise<string> {
  const socket = await open(server);
  socket.write(bytes, 'latin1');
  return await text(socket.on('error', () => {}));
}
