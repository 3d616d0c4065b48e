import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { describeError, type Log } from '../../../shared/base/basics.ts';
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

/** A question and its answer in one datagram each (RFC 1035 section 4.2.1). */
export function createUdpServer(
  host: string,
  { respond, verdictOn, limited, mostWaiting, log }: UdpParts,
): Socket {
  const v6 = isIPv6(host.split('%')[0] ?? '');
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6 });
  let waiting = 0;
  let closed = false;

  const send = (reply: Buffer, { port, address }: RemoteInfo) => {
    // A peer that cannot be reached asks again, or does not.
    if (!closed) socket.send(reply, port, address, () => {});
  };

  async function answer(message: Buffer, peer: RemoteInfo): Promise<void> {
    const parsed = parseQuery(message);
    if (!parsed) return;
    const verdict = waiting < mostWaiting ? verdictOn(peer.address) : 'drop';
    if (verdict === 'answer') {
      waiting++;
      const limit = 'query' in parsed ? udpLimit(parsed.query) : 0;
      send(await respond(parsed, 'udp', limit).finally(() => waiting--), peer);
    } else if (verdict === 'truncate' && 'query' in parsed) {
      limited('truncated');
      send(encodeTruncated(parsed.query), peer);
    } else {
      limited('dropped');
    }
  }

  socket.on('message', (message, peer) => {
    answer(message, peer).catch(error =>
      log.error({ reason: describeError(error) }, 'a question was not answered'),
    );
  });
  socket.once('listening', () => {
    socket.on('error', error => log.warn({ reason: describeError(error) }, 'UDP socket'));
    socket.setRecvBufferSize(RECEIVE_BUFFER);
  });
  return socket.once('close', () => {
    closed = true;
  });
}
