import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { describeError } from '../../../shared/base/errors.ts';
import { http } from '../../../shared/base/http.ts';
import { formatListener, type Listener } from '../../../shared/config/listener.ts';
import { asking } from '../../../shared/dns/query.ts';
import { toDns01Record } from '../../../shared/solver/dns01-record.ts';
import type { ChallengeResponse } from '../../../shared/solver/solver.ts';

export type Look = (
  at: { host: string; port: number },
  response: ChallengeResponse,
  signal: AbortSignal,
) => Promise<void>;

/**
 * Looks for a response that was presented at every listener of a verification. Of those that no file has
 * written one is enough, as not every machine has IPv6.
 *
 * @returns what was seen, in one line
 * @throws Error with what is wrong, in one line
 */
export async function tryListeners(
  listeners: readonly Listener[],
  look: Look,
  response: ChallengeResponse,
  signal: AbortSignal,
): Promise<string> {
  const looks = await Promise.all(
    listeners.map(async listener => {
      const name = formatListener(listener);
      const fault = await look(reachable(listener), response, signal).then(() => undefined, describeFault);
      return { name, fault, explicit: listener.explicit };
    }),
  );
  const good = looks.filter(({ fault }) => fault === undefined);
  const bad = looks.filter(({ fault, explicit }) => fault !== undefined && (explicit || good.length === 0));
  if (bad.length > 0) throw new Error(bad.map(({ name, fault }) => `${name} ${fault}`).join('; '));
  return `${good.map(({ name }) => name).join(', ')} answered with the test response`;
}

/** What listens at all addresses is asked at this machine's own. */
function reachable({ host, port }: Listener): { host: string; port: number } {
  const own: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
  return { host: own[host] ?? host, port };
}

function describeFault(error: unknown): string {
  const { code = '' } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'is not listened on: does a responder run?';
  return /^E[A-Z]+$/.test(code) ? `cannot be reached (${code})` : describeError(error);
}

const LONGEST_ANSWER = 200;

/**
 * Asks a listener of a responder as nginx or the CA would.
 *
 * @throws Error with what is wrong, in one line
 */
export async function lookHttp01(
  { host, port }: { host: string; port: number },
  { identifier, token, keyAuthorization }: ChallengeResponse,
  signal: AbortSignal,
): Promise<void> {
  const headers = { Host: identifier.value };
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = http.get({
      host,
      port,
      path: `/.well-known/acme-challenge/${token}`,
      headers,
      signal,
      agent: false,
    });
    request.on('error', reject).on('response', response => {
      text(response).then(body => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
  });
  if (answer.status === 200 && answer.body.trimEnd() === keyAuthorization) return;
  if (answer.status === 404)
    throw new Error('answers, but does not know the test token: another Redis, or no responder');
  throw new Error(
    `answers ${answer.status}, and not as a responder does: ${answer.body.trim().slice(0, LONGEST_ANSWER)}`,
  );
}

const PROTOCOL = 'acme-tls/1';

/**
 * Greets a listener of a responder as the CA would (RFC 8737).
 *
 * @throws Error with what is wrong, in one line
 */
export async function lookTlsAlpn(
  { host, port }: { host: string; port: number },
  { identifier, keyAuthorization }: ChallengeResponse,
  signal: AbortSignal,
): Promise<void> {
  const options = {
    host,
    port,
    servername: identifier.value,
    ALPNProtocols: [PROTOCOL],
    rejectUnauthorized: false,
  };
  const socket = addAbortSignal(signal, connect(options));
  try {
    await once(socket, 'secureConnect');
    if (socket.alpnProtocol !== PROTOCOL)
      throw new Error(`speaks TLS, but not ${PROTOCOL}, as a responder does`);
    const digest = createHash('sha256').update(keyAuthorization).digest();
    if (!socket.getPeerCertificate().raw.includes(digest))
      throw new Error('shows the proof of another order');
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code.includes('HANDSHAKE_FAILURE'))
      throw new Error('answers, but does not know the test response: another Redis, or no responder');
    if (code.startsWith('ERR_SSL')) throw new Error(`does not speak TLS as a responder does: ${message}`);
    throw error;
  } finally {
    socket.on('error', () => {}).destroy();
  }
}

const DNS_TIMEOUT = 5_000;

/**
 * Asks a listener of a responder as a resolver would.
 *
 * @param place where the record is to be seen
 * @throws Error with what is wrong, in one line
 */
export function lookDns(place: string): Look {
  return async (at, response, signal) => {
    const { rcode, answers } = await asking(at, { recursive: false, timeout: DNS_TIMEOUT })(
      place,
      'TXT',
      signal,
    );
    const { value } = toDns01Record(response);
    if (answers.some(record => record.type === 'TXT' && record.value === value)) return;
    if (rcode === 'NXDOMAIN' || rcode === 'NOERROR')
      throw new Error('answers, but does not know the test record: another Redis, or no responder');
    throw new Error(`answers ${rcode} for ${place}: another name server, or a responder with other zones`);
  };
}
