import type { Clock } from '../base/basics.ts';
import { IssuanceError, type IssuanceErrorCode } from '../base/errors.ts';
import { type DnsServer, exchangeTcp, formatServer } from './exchange.ts';
import { signMessage, type TsigKey, type Verdict, verifyReply } from './tsig.ts';

/** A server, and the way to speak to it. */
export type Peer = {
  server: DnsServer;
  /** Milliseconds for one message and its answer. */
  timeout: number;
  /** Without a key messages are not signed. */
  key?: TsigKey | undefined;
  clock: Clock;
};

/**
 * Sends one message over TCP, signed, and resolves to the answer once its signature is verified. A refusal
 * may come unsigned: some servers do not sign these, and forging one gains nothing.
 *
 * @throws IssuanceError `misconfigured` when the server does not take the signature, `unavailable` when it
 *   cannot be reached or its answer not be trusted
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
      // Knot answers this too when the key may not do this.
      return `NOTAUTH (BADKEY): it does not know ${describeKey(key)}, or not for this name`;
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

export const describeKey = ({ name, algorithm }: TsigKey) => `the key ${name} with ${algorithm}`;

function describeClocks(serverTime: number | undefined, now: number): string {
  if (serverTime === undefined) return 'its clock and that of this machine differ';
  const seconds = Math.round((serverTime - now) / 1000);
  const where = seconds > 0 ? 'ahead of' : 'behind';
  return `its clock is ${Math.abs(seconds)} seconds ${where} that of this machine`;
}

/** Does an act with the first server that can. */
type Failover = <T>(act: (peer: Peer) => Promise<T>, signal: AbortSignal) => Promise<T>;

/**
 * Tries the next server where one cannot be reached or fails; a refusal is final. The server that worked last
 * is asked first, as one that is down costs a whole timeout.
 *
 * The acts reject with IssuanceErrors. When all of them are `unavailable`, so is this error, which names
 * each.
 */
export function openFailover(servers: readonly DnsServer[], peer: Omit<Peer, 'server'>): Failover {
  let last = 0;
  return async (act, signal) => {
    const failures: IssuanceError[] = [];
    for (const [index, server] of [...servers.entries(), ...servers.entries()].slice(
      last,
      last + servers.length,
    )) {
      try {
        const result = await act({ ...peer, server });
        last = index;
        return result;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof IssuanceError) || error.code !== 'unavailable') throw error;
        failures.push(error);
      }
    }
    throw new IssuanceError('unavailable', failures.map(({ message }) => message).join('; '), {
      cause: failures[0],
    });
  };
}
