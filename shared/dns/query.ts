import { IssuanceError } from '../base/errors.ts';
import { type DnsServer, exchangeTcp, exchangeUdp, formatServer } from './exchange.ts';
import { type DnsMessage, decodeMessage, encodeQuery, type QueryType } from './message.ts';
import { describeKey, exchangeSigned, type Peer, peerError } from './signed-exchange.ts';
import type { TsigKey } from './tsig.ts';
import { newId } from './wire.ts';

/**
 * Asks one question and resolves to the answer, with any response code but SERVFAIL.
 *
 * @throws IssuanceError `unavailable` naming the server, or the signal's reason
 */
export type Ask = (name: string, type: QueryType, signal: AbortSignal) => Promise<DnsMessage>;

type AskOptions = {
  /** Whether the server is asked to resolve the name for us. */
  recursive: boolean;
  /** Milliseconds, for each of UDP and TCP. */
  timeout: number;
};

/** Asks this server over UDP, and over TCP where the answer does not fit (RFC 1035, RFC 7766 section 5). */
export function asking(server: DnsServer, { recursive, timeout }: AskOptions): Ask {
  return async (name, type, signal) => {
    const id = newId();
    const query = encodeQuery(id, name, type, recursive);
    const isReply = (datagram: Buffer) => findReply(datagram, { id, name, type }) !== undefined;
    const short = readReply(server, await exchangeUdp(server, query, isReply, timeout, signal), {
      id,
      name,
      type,
    });
    const reply = short.truncated
      ? readReply(server, await exchangeTcp(server, query, timeout, signal), { id, name, type })
      : short;
    return checkRcode(server, reply, name, type);
  };
}

/** Asks this server over TCP, signed where there is a key, without recursion. */
export function askingPeer(peer: Peer): Ask {
  return async (name, type, signal) => {
    const id = newId();
    const bytes = await exchangeSigned(peer, encodeQuery(id, name, type, false), signal);
    const reply = checkRcode(peer.server, readReply(peer.server, bytes, { id, name, type }), name, type);
    // PowerDNS answers this to a bad signature. A question needs no authority, so there is no other cause.
    if (reply.rcode === 'NOTAUTH' && peer.key)
      throw peerError(peer, 'misconfigured', describeNotAuth(peer.key));
    return reply;
  };
}

function describeNotAuth(key: TsigKey): string {
  return `NOTAUTH: it does not know ${describeKey(key)}, or has another secret or another time`;
}

/** Asks the servers one after the other until one answers. */
export function askingFirst(asks: readonly Ask[]): Ask {
  return async (name, type, signal) => {
    let failure: unknown = new IssuanceError('misconfigured', 'there is no DNS server to ask');
    for (const ask of asks) {
      try {
        return await ask(name, type, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  };
}

function checkRcode(server: DnsServer, reply: DnsMessage, name: string, type: QueryType): DnsMessage {
  if (reply.rcode !== 'SERVFAIL') return reply;
  throw new IssuanceError('unavailable', `DNS server ${formatServer(server)}: SERVFAIL for ${name} ${type}`);
}

type Question = { id: number; name: string; type: string };

/** @throws IssuanceError `unavailable` when the bytes do not answer this question */
function readReply(server: DnsServer, bytes: Buffer, question: Question): DnsMessage {
  const reply = findReply(bytes, question);
  if (reply) return reply;
  const detail = `DNS server ${formatServer(server)}: its answer is damaged, or to another question`;
  throw new IssuanceError('unavailable', detail);
}

function findReply(bytes: Buffer, { id, name, type }: Question): DnsMessage | undefined {
  try {
    const reply = decodeMessage(bytes);
    const [asked, ...others] = reply.questions;
    if (!reply.response || reply.id !== id || reply.opcode !== 'QUERY') return undefined;
    // A server that cannot read the question does not repeat it.
    if (!asked && reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') return reply;
    const same = asked?.name === name && asked.type === type && asked.class === 'IN' && others.length === 0;
    return same ? reply : undefined;
  } catch {
    return undefined;
  }
}
