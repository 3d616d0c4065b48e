import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { addAbortSignal } from 'node:stream';
import { connect } from 'node:tls';
import type { ChallengeResponse } from '../../../shared/solver/solver.ts';

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
