import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6, type Socket } from 'node:net';
import { type DecodedPacket, decode, encode, type Packet, RECURSION_DESIRED } from 'dns-packet';
import { dnsServers } from '../../../../services/responder/dns-server.ts';
import { systemClock } from '../../../../shared/base/basics.ts';
import { openListeners } from '../../../../shared/base/listeners.ts';
import { openMetrics } from '../../../../shared/base/metrics.ts';
import type { DnsRecords } from '../../../../shared/solver/dns-records.ts';
import type { Dns01ServerConfig } from '../../../../shared/solver/dns01-server.ts';
import { keptLog } from '../../../support/kept-log.ts';

export const zone: Dns01ServerConfig = {
  name: 'dns',
  type: 'dns01-server',
  challenge: 'dns-01',
  listeners: [],
  zones: ['acme.example.org'],
  nameServers: [
    { name: 'ns1.acme.example.org', addresses: ['192.0.2.53', '2001:db8::53'] },
    { name: 'ns2.example.net', addresses: [] },
  ],
  hostmaster: 'admin.example.org',
  ttl: 7,
  rateLimit: Number.POSITIVE_INFINITY,
  resolvers: [],
};

export type OpenDnsServer = Awaited<ReturnType<typeof openDnsServer>>;

/**
 * The name server of these blocks, which finds its records in `values`; `fault` is what looking one up ends
 * with.
 */
export async function openDnsServer(
  blocks: Dns01ServerConfig[] = [zone],
  {
    values = {},
    fault,
    host = '127.0.0.1',
  }: { values?: Record<string, string[]>; fault?: Error; host?: string } = {},
) {
  const asked: string[] = [];
  const [log, metrics] = [keptLog(), openMetrics()];
  const records: Pick<DnsRecords, 'find'> = {
    async find(names) {
      asked.push(...names);
      if (fault) throw fault;
      return names.map(name => ({
        values: values[name] ?? [],
        isAbove: Object.keys(values).some(one => one.endsWith(`.${name}`)),
      }));
    },
  };
  const outlast = <T>(ask: () => Promise<T>) => ask();
  const { create } = dnsServers(blocks, { records, outlast, clock: systemClock, log: log.log, metrics });
  const listeners = await openListeners([{ host, port: 0, explicit: true }], create, log.log);
  const port = listeners.addresses[0]?.port ?? 0;
  return {
    host,
    port,
    asked,
    log,
    metrics,
    /** The answer to a datagram. */
    udp: (message: Buffer) => exchangeUdp(host, port, message),
    /** Whether a datagram is passed over: then the answer to the next one comes first. */
    async passesOver(message: Buffer): Promise<boolean> {
      const probe = newQuery('.', 'SOA', { id: PROBE });
      return (await exchangeUdp(host, port, message, probe)).readUInt16BE(0) === PROBE;
    },
    /** The answers to what was written to one connection, as many as are wanted. */
    tcp: (bytes: Buffer, count = 1) => exchangeTcp(host, port, bytes, count),
    /** Asks over UDP. */
    async ask(name: string, type: string, more: Partial<Packet> = {}): Promise<DecodedReply> {
      return decodeReply(await exchangeUdp(host, port, newQuery(name, type, more)));
    },
    [Symbol.asyncDispose]: () => listeners[Symbol.asyncDispose](),
  };
}

export type DecodedReply = DecodedPacket & { rcode: string };

export const decodeReply = (reply: Buffer) => decode(reply) as DecodedReply;

export function newQuery(name: string, type: string, more: Partial<Packet> = {}): Buffer {
  const questions = [{ name, type, class: 'IN' }] as unknown as NonNullable<Packet['questions']>;
  return encode({ type: 'query', id: 4711, flags: RECURSION_DESIRED, questions, ...more });
}

/** An additional record that says what the asker understands (RFC 6891). */
export function edns(udpPayloadSize: number, { ednsVersion = 0, flags = 0 } = {}): Partial<Packet> {
  const opt = { type: 'OPT', name: '.', udpPayloadSize, extendedRcode: 0, ednsVersion, flags, options: [] };
  return { additionals: [opt] as unknown as NonNullable<Packet['additionals']> };
}

export function framed(...messages: Buffer[]): Buffer {
  return Buffer.concat(
    messages.flatMap(message => [Buffer.from([message.length >> 8, message.length & 0xff]), message]),
  );
}

const PROBE = 4712;

/** The first answer to any of the datagrams. */
async function exchangeUdp(host: string, port: number, ...messages: Buffer[]): Promise<Buffer> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  try {
    const reply = once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
    for (const message of messages) socket.send(message, port, host);
    return (await reply)[0];
  } finally {
    socket.close();
  }
}

async function exchangeTcp(host: string, port: number, bytes: Buffer, count: number): Promise<Buffer[]> {
  const socket = connect(port, host).on('error', () => {});
  socket.end(bytes);
  try {
    return await readMessages(socket, count);
  } finally {
    socket.destroy();
  }
}

/** As many messages as are wanted, or as come before the connection ends. */
export async function readMessages(socket: Socket, count: number): Promise<Buffer[]> {
  const messages: Buffer[] = [];
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      messages.push(received.subarray(2, 2 + received.readUInt16BE(0)));
      received = received.subarray(2 + received.readUInt16BE(0));
    }
    if (messages.length >= count) break;
  }
  return messages;
}
