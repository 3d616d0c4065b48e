import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type Answer, type DecodedPacket, decode, encode, type Packet } from 'dns-packet';
import type { DnsServer } from '../../shared/dns/exchange.ts';
import { freePort } from './free-port.ts';

export type Asked = DecodedPacket & { over: 'udp' | 'tcp'; bytes: Buffer };

/**
 * What to send back: messages in this order; none is silence. Over TCP a buffer is sent with its length
 * before it.
 */
export type Script = (asked: Asked) => Buffer[];

/** A DNS server on a loopback port, UDP and TCP, that answers as it is told, also wrongly. */
export async function startScriptedDns(
  script: Script,
  at: Partial<DnsServer> = {},
): Promise<AsyncDisposable & { server: DnsServer; asked: Asked[] }> {
  const { host = '127.0.0.1', port = await freePort() } = at;
  const asked: Asked[] = [];
  const answer = (bytes: Buffer, over: Asked['over']) => {
    const one = { ...decode(bytes), over, bytes };
    asked.push(one);
    return script(one);
  };
  const udp = createSocket(host.includes(':') ? 'udp6' : 'udp4').on(
    'message',
    (bytes, { port: from, address }) => {
      for (const reply of answer(bytes, 'udp')) udp.send(reply, from, address);
    },
  );
  const open = new Set<Socket>();
  const tcp = createServer(socket => {
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    socket.on('data', chunk => {
      for (const reply of answer(chunk.subarray(2), 'tcp')) socket.write(framed(reply));
    });
  });
  udp.bind(port, host);
  tcp.listen(port, host);
  await Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
  return {
    server: { host, port },
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      const closed = [once(udp, 'close'), once(tcp, 'close')];
      udp.close();
      tcp.close();
      await Promise.all(closed);
    },
  };
}

/** An answer to what was asked; `more` replaces what is usual. */
export function reply(
  { id, questions }: Asked,
  answers: Answer[],
  more: Packet & { rcode?: number } = {},
): Buffer {
  const { flags = 0, rcode = 0, ...rest } = more;
  return encode({
    ...{ type: 'response', id, questions: questions?.map(one => ({ ...one })), answers: [...answers] },
    ...{ flags: flags | rcode },
    ...rest,
  } as Packet);
}

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
