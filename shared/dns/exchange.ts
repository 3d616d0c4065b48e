import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { addAbortSignal } from 'node:stream';
import { describeError, IssuanceError } from '../base/errors.ts';
import { bracketed } from '../base/identifier.ts';
import { uint16 } from './wire.ts';

/** A DNS server by address or host name; IPv6 without brackets. */
export type DnsServer = { host: string; port: number };

export function formatServer({ host, port }: DnsServer): string {
  return port === 53 ? host : `${bracketed(host)}:${port}`;
}

/** Bytes. Answers to Quarry's questions are far smaller; a hostile server must not send more. */
const LONGEST_REPLY = 32_768;

/** Datagrams sent within the timeout. */
const UDP_TRIES = 3;

/**
 * Sends one message over TCP and resolves to the bytes that come back (RFC 7766).
 *
 * @param timeout milliseconds, for all of it
 * @throws IssuanceError `unavailable` naming the server, or the signal's reason
 */
export function exchangeTcp(
  server: DnsServer,
  message: Buffer,
  timeout: number,
  signal: AbortSignal,
): Promise<Buffer> {
  return within(server, timeout, signal, async either => {
    const socket = addAbortSignal(either, connect(server));
    try {
      socket.write(Buffer.concat([uint16(message.length), message]));
      let received = Buffer.alloc(0);
      for await (const chunk of socket) {
        received = Buffer.concat([received, chunk]);
        const length = received.length < 2 ? Number.NaN : received.readUInt16BE(0);
        if (length > LONGEST_REPLY) throw new Error(`its answer of ${length} bytes is too long`);
        if (received.length >= length + 2) return received.subarray(2, length + 2);
      }
      throw new Error('it ends the connection without an answer');
    } finally {
      socket.destroy();
    }
  });
}

/**
 * Sends one message over UDP, and repeats it while no answer comes.
 *
 * @param isReply looks at each datagram; one that does not fit may be forged, and is ignored
 * @param timeout milliseconds, for all of it
 * @throws IssuanceError `unavailable` naming the server, or the signal's reason
 */
export function exchangeUdp(
  server: DnsServer,
  message: Buffer,
  isReply: (datagram: Buffer) => boolean,
  timeout: number,
  signal: AbortSignal,
): Promise<Buffer> {
  return within(server, timeout, signal, async either => {
    const { promise: left, reject: leave } = Promise.withResolvers<never>();
    const onAbort = () => leave(either.reason);
    either.addEventListener('abort', onAbort, { once: true });
    try {
      // The system's look-up cannot be aborted, only abandoned. More networks have IPv4 than IPv6.
      const found = lookup(server.host, { order: 'ipv4first' });
      const { address, family } = await Promise.race([found, left]);
      using socket = openSocket(family, { address, port: server.port });
      using _again = repeat(() => socket.send(message), timeout / UDP_TRIES);
      return await Promise.race([socket.receive(isReply), left]);
    } finally {
      either.removeEventListener('abort', onAbort);
    }
  });
}

/** A connected socket: the kernel drops datagrams from others and reports a closed port. */
function openSocket(family: number, { address, port }: { address: string; port: number }) {
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {}); // a failure after the answer is ignored
  const connected = once(socket, 'connect');
  socket.on('error', reject).connect(port, address);
  return {
    async send(message: Buffer) {
      await connected.then(() => socket.send(message)).catch(reject);
    },
    receive(isReply: (datagram: Buffer) => boolean): Promise<Buffer> {
      const reply = new Promise<Buffer>(resolve => socket.on('message', one => isReply(one) && resolve(one)));
      return Promise.race([reply, failed]);
    },
    [Symbol.dispose]: () => void socket.close(),
  };
}

/** Acts at once, and then at every interval. */
function repeat(act: () => unknown, interval: number): Disposable {
  act();
  const timer = setInterval(act, interval);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function within<T>(
  server: DnsServer,
  timeout: number,
  signal: AbortSignal,
  act: (either: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const deadline = AbortSignal.timeout(timeout);
  try {
    return await act(AbortSignal.any([signal, deadline]));
  } catch (error) {
    signal.throwIfAborted();
    const reason = deadline.aborted ? `no answer within ${timeout / 1000} seconds` : describeError(error);
    throw new IssuanceError('unavailable', `DNS server ${formatServer(server)}: ${reason}`, { cause: error });
  }
}
