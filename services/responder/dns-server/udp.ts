import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { lookup } from 'node:dns';
import { isIP, isIPv6 } from 'node:net';
import type { Log } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { parseQuery } from './query.ts';
import type { Verdict } from './rate-limit.ts';
import { encodeTruncated, udpLimit } from './reply.ts';
import type { Respond } from './respond.ts';

const RECEIVE_BUFFER = 1024 * 1024;

type UdpParts = {
  respond: Respond;
  verdictOn: (address: string) => Verdict;
  /** Told how a question was not answered in full. */
  limited(how: 'truncated' | 'dropped'): void;
  /** Questions that wait for Redis at once; what comes beyond them is passed over, and asked again. */
  mostWaiting: number;
  log: Log;
};

/** Node looks up where each datagram goes, and a peer's address it would look up in the next turn. */
const lookUpAtOnce: SocketOptions['lookup'] = (host, options, found) => {
  const family = isIP(host);
  if (family === 0) lookup(host, options, found);
  else found(null, host, family);
};

/** A question and its answer in one datagram each (RFC 1035 section 4.2.1). */
export function createUdpServer(
  host: string,
  { respond, verdictOn, limited, mostWaiting, log }: UdpParts,
): Socket {
  const v6 = isIPv6(host.split('%')[0] ?? '');
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6, lookup: lookUpAtOnce });
  let waiting = 0;
  let closed = false;

  const send = (reply: Buffer, { port, address }: RemoteInfo) => {
    // Without a callback, as nothing is done about a peer that cannot be reached: it asks again, or does not.
    if (!closed) socket.send(reply, port, address);
  };

  function answer(message: Buffer, peer: RemoteInfo): void {
    if (peer.port === 0) return; // forged: nothing can be sent there, and to try throws
    const parsed = parseQuery(message);
    if (!parsed) return;
    const verdict = waiting < mostWaiting ? verdictOn(peer.address) : 'drop';
    if (verdict === 'answer') {
      waiting++;
      const limit = 'query' in parsed ? udpLimit(parsed.query) : 0;
      respond(parsed, 'udp', limit, reply => {
        waiting--;
        send(reply, peer);
      });
    } else if (verdict === 'truncate' && 'query' in parsed) {
      limited('truncated');
      send(encodeTruncated(parsed.query), peer);
    } else {
      limited('dropped');
    }
  }

  socket.on('message', (message, peer) => {
    try {
      answer(message, peer);
    } catch (error) {
      log.error({ reason: describeError(error) }, 'a question was not answered');
    }
  });
  socket.once('listening', () => {
    socket.on('error', error => log.warn({ reason: describeError(error) }, 'UDP socket'));
    socket.setRecvBufferSize(RECEIVE_BUFFER);
  });
  return socket.once('close', () => {
    closed = true;
  });
}
