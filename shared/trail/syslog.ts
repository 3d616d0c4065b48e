import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import type { SyslogTarget } from '../config/trail.ts';
import type { TrailConsumer } from './drain.ts';
import { eventId, type TrailEntry } from './event.ts';

/** The name of the consumer. */
export const SYSLOG = 'syslog';

/** Milliseconds for one batch. */
const LONGEST_SEND = 10_000;

/** Sends events to a syslog server. Syslog acknowledges nothing: what it takes and loses is lost there. */
export function openSyslogConsumer(target: SyslogTarget): TrailConsumer {
  const send = toSend(target);
  return {
    name: SYSLOG,
    async take(entries) {
      const signal = AbortSignal.timeout(LONGEST_SEND);
      await send(entries.map(toMessage), signal).catch(error => {
        throw signal.aborted ? new Error('the syslog server does not take it', { cause: error }) : error;
      });
    },
  };
}

type Send = (messages: string[], signal: AbortSignal) => Promise<void>;

function toSend(target: SyslogTarget): Send {
  switch (target.kind) {
    case 'udp':
      return (messages, signal) => sendDatagrams(target, messages, signal);
    case 'tcp':
      return (messages, signal) => sendFrames(connect(target.port, target.host), 'connect', messages, signal);
    case 'tls':
      return async (messages, signal) => sendFrames(await openTls(target), 'secureConnect', messages, signal);
    case 'unix':
      return (messages, signal) => runLogger(target.path, messages, signal);
  }
}

/** Security and authorization, notice (RFC 5424 section 6.2.1). */
const PRIORITY = 10 * 8 + 5;

/** RFC 5424 section 6. The message is the event as JSON, with the id that the files have, too. */
function toMessage({ event, text: unread, ...of }: TrailEntry): string {
  const id = eventId(of);
  const {
    at,
    event: kind,
    ...more
  } = event ?? { at: Number(of.id.split('-')[0]), event: 'unreadable', unread };
  const body = JSON.stringify({ id, event: kind, ...more });
  return `<${PRIORITY}>1 ${new Date(at).toISOString()} ${hostname()} quarry ${process.pid} ${kind} - ${body}`;
}

/** RFC 5426. */
async function sendDatagrams(
  { host, port }: { host: string; port: number },
  messages: string[],
  signal: AbortSignal,
): Promise<void> {
  const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', signal });
  try {
    for (const message of messages) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      socket.once('error', reject);
      socket.send(message, port, host, error => (error ? reject(error) : resolve()));
      await promise;
      socket.removeAllListeners('error');
    }
  } finally {
    socket.close();
  }
}

async function openTls({ host, port, caFile }: Extract<SyslogTarget, { kind: 'tls' }>): Promise<Socket> {
  const ca = caFile === undefined ? {} : { ca: await readFile(caFile, 'utf8') };
  return connectTls({ host, port, ...ca });
}

/** Frames by octet counting: RFC 6587 section 3.4.1, RFC 5425 section 4.3. */
async function sendFrames(
  socket: Socket,
  connected: string,
  messages: string[],
  signal: AbortSignal,
): Promise<void> {
  const failed = once(socket, 'error', { signal }).then(([error]) => Promise.reject(error));
  failed.catch(() => {});
  try {
    await Promise.race([once(socket, connected, { signal }), failed]);
    const frames = messages.map(message => `${Buffer.byteLength(message)} ${message}`);
    const closed = once(socket, 'close', { signal });
    closed.catch(() => {});
    socket.resume().end(frames.join(''));
    await Promise.race([closed, failed]);
  } finally {
    socket.destroy();
  }
}

/** Node has no Unix datagram sockets, which `/dev/log` is. */
async function runLogger(path: string, messages: string[], signal: AbortSignal): Promise<void> {
  const options = ['--rfc5424', '--tag', 'quarry', '--msgid', 'trail', '--priority', 'authpriv.notice'];
  const where = ['--socket', path, '--socket-errors=on', '--size', '64KiB'];
  const child = spawn('logger', [...options, ...where], { stdio: ['pipe', 'ignore', 'pipe'], signal });
  const said = text(child.stderr);
  child.stdin.on('error', () => {}); // the exit tells of it
  const ended = once(child, 'close');
  child.stdin.end(messages.map(message => `${message.slice(message.indexOf('{'))}\n`).join(''));
  const [code] = await ended;
  if (code !== 0) throw new Error(`logger failed: ${(await said).trim()}`);
}
