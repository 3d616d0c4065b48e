import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { describeError } from '../../base/errors.ts';
import { addressToBytes, bracketed, type Identifier } from '../../base/identifier.ts';
import { isReserved } from '../../base/reserved-addresses.ts';
import { findAcmeCertificateFault } from '../../pki/read-acme-certificate.ts';
import { askEither, findWay } from '../../solver/find-addresses.ts';
import { LONGEST_LOOK, type Look, toDigest, type Unproven } from './look.ts';

const PROTOCOL = 'acme-tls/1';

/** RFC 8737 section 3, RFC 8738 section 6. What clients learn of an address is as with http-01. */
export const lookByTls: Look = async (proof, { tlsPort, client, ...sight }, signal) => {
  const { identifier } = proof;
  const place = `${bracketed(identifier.value)}:${tlsPort}`;
  const deadline = AbortSignal.timeout(LONGEST_LOOK);
  const either = AbortSignal.any([signal, deadline]);
  const way = await findWay(identifier.value, sight, either);
  signal.throwIfAborted();
  if (!Array.isArray(way))
    return way.hidden === undefined
      ? { kind: way.cause, detail: `${place}: ${way.fault}` }
      : { kind: way.cause, detail: `${place}: it leads to no public address`, hidden: way.fault };
  const visited: string[] = [];
  const ask = (address: string, patience: AbortSignal) => {
    visited.push(address);
    return shakeHands({ address, port: tlsPort, serverName: toServerName(identifier) }, patience);
  };
  const shown = await askEither(way, ask, LONGEST_LOOK / 2, either).catch(error => {
    signal.throwIfAborted();
    const fault = deadline.aborted ? `no answer within ${LONGEST_LOOK / 1000} seconds` : describeError(error);
    return { kind: 'connection', detail: fault } as const;
  });
  const fault = Buffer.isBuffer(shown) ? findFault(shown, identifier, toDigest(proof)) : shown;
  if (!fault) return undefined;
  const seen = `${place} (${visited.join(', ')}): ${fault.detail}`;
  const isOpen = visited.every(address => !isReserved(address) || address === client);
  if (isOpen) return { kind: fault.kind, detail: seen };
  return { kind: 'incorrectResponse', detail: `${place}: the response is not there`, hidden: seen };
};

function findFault(certificate: Buffer, identifier: Identifier, digest: Buffer): Unproven | undefined {
  const fault = findAcmeCertificateFault(certificate, identifier, digest);
  return fault === undefined ? undefined : { kind: 'incorrectResponse', detail: `the certificate ${fault}` };
}

type Place = { address: string; port: number; serverName: string };

/**
 * @returns the certificate that is shown, or what is wrong with the handshake; rejects where there is no
 *   connection
 */
async function shakeHands(
  { address, port, serverName }: Place,
  signal: AbortSignal,
): Promise<Buffer | Unproven> {
  const socket = connect({
    ...{ host: address, port, servername: serverName, ALPNProtocols: [PROTOCOL] },
    // The certificate is self-signed; what is in it is checked instead.
    ...{ minVersion: 'TLSv1.2', rejectUnauthorized: false },
  });
  let isConnected = false;
  socket
    .on('error', () => {})
    .once('connect', () => {
      isConnected = true;
    });
  try {
    await once(socket, 'secureConnect', { signal });
    return readHandshake(socket);
  } catch (error) {
    if (signal.aborted || !isConnected) throw error;
    return { kind: 'tls', detail: `the handshake for ${PROTOCOL} failed: ${describeError(error)}` };
  } finally {
    socket.destroy();
  }
}

function readHandshake(socket: TLSSocket): Buffer | Unproven {
  if (socket.alpnProtocol !== PROTOCOL)
    return { kind: 'tls', detail: `the server does not speak ${PROTOCOL}` };
  const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
  return raw ?? { kind: 'tls', detail: 'the server shows no certificate' };
}

/** An address has a name for SNI in the DNS's reverse zones. */
function toServerName({ type, value }: Identifier): string {
  if (type === 'dns') return value;
  const bytes = addressToBytes(value);
  if (bytes.length === 4) return `${[...bytes].reverse().join('.')}.in-addr.arpa`;
  return `${[...bytes.toString('hex')].reverse().join('.')}.ip6.arpa`;
}
