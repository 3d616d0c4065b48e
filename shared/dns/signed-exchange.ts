import type { Clock } from '../base/clock.ts';
import { IssuanceError, type IssuanceErrorCode } from '../base/errors.ts';
import { type DnsServer, exchangeTcp, formatServer } from './exchange.ts';
import { signMessage, type TsigKey, type Verdict, verifyReply } from './tsig.ts';

/** How a server is spoken to. */
export type Peer = {
  server: DnsServer;
  /** Milliseconds for one message and its answer. */
  timeout: number;
  /** Without it nothing is signed. */
  key?: TsigKey | undefined;
  clock: Clock;
};

/**
 * Sends one message over TCP, signed, and resolves to the answer once its signature is verified. A plain refusal may come
 * without one: not every server signs those, and nobody gains anything by forging it.
 *
 * @throws IssuanceError `misconfigured` when the server does not take the signature, `unavailable` when it cannot be
 *   reached or its answer not be trusted
 */
export async function exchangeSigned(peer: Peer, message: Buffer, signal: AbortSignal): Promise<Buffer> {
  const { server, key, timeout, clock } = peer;
  if (!key) return exchangeTcp(server, message, timeout, signal);
  const { signed, signature } = signMessage(message, key, clock.now());
  const reply = await exchangeTcp(server, signed, timeout, signal);
  const verdict = judge(() => verifyReply(reply, signature, clock.now()));
  switch (verdict.is) {
    case 'good':
      return reply;
    case 'unsigned':
      if (isRefusal(reply)) return reply;
      throw peerError(peer, 'unavailable', 'its answer is not signed');
    case 'wrong':
      throw peerError(peer, 'unavailable', `its answer ${verdict.why}`);
    case 'refused':
      throw peerError(peer, 'misconfigured', describeRefusal(verdict, key, clock.now()));
  }
}

/** @param reason a phrase for people, which may stand in an answer to a client */
export function peerError({ server }: Peer, code: IssuanceErrorCode, reason: string): IssuanceError {
  return new IssuanceError(code, `DNS server ${formatServer(server)}: ${reason}`);
}

function judge(verify: () => Verdict): Verdict {
  try {
    return verify();
  } catch {
    return { is: 'wrong', why: 'is damaged' };
  }
}

const [NOERROR, NXDOMAIN] = [0, 3];

function isRefusal(reply: Buffer): boolean {
  const rcode = (reply[3] ?? 0) & 0x0f;
  return rcode !== NOERROR && rcode !== NXDOMAIN;
}

function describeRefusal(
  { error, serverTime }: Verdict & { is: 'refused' },
  key: TsigKey,
  now: number,
): string {
  switch (error) {
    case 'BADKEY':
      // Knot says so too of a key that may not do this.
      return `NOTAUTH (BADKEY): it does not know the key ${key.name} with ${key.algorithm}, or not for this name`;
    case 'BADSIG':
      return `NOTAUTH (BADSIG): its secret of the key ${key.name} is another one`;
    case 'BADTRUNC':
      return 'NOTAUTH (BADTRUNC): it takes only longer signatures';
    case 'BADTIME':
      return `NOTAUTH (BADTIME): ${describeClocks(serverTime, now)}`;
    case 'another error':
      return 'it does not take the signature, for a reason that is not known here';
  }
}

function describeClocks(serverTime: number | undefined, now: number): string {
  if (serverTime === undefined) return 'its clock and that of this machine differ';
  const seconds = Math.round((serverTime - now) / 1000);
  return `its clock is ${Math.abs(seconds)} seconds ${seconds > 0 ? 'ahead of' : 'behind'} that of this machine`;
}
