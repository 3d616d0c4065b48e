import { once } from 'node:events';
import { type ConnectionOptions, connect } from 'node:tls';

type LookOptions = Omit<ConnectionOptions, 'host'> & { protocols?: readonly string[]; host?: string };

/**
 * What a tls-alpn-01 server shows for a server name: its certificate in DER, or the reason why there is none.
 */
export async function lookAtAcmeTls(
  port: number,
  servername: string,
  { protocols = ['acme-tls/1'], host = '127.0.0.1', ...more }: LookOptions = {},
): Promise<{ certificate: Buffer; protocol: string | false } | { reason: string }> {
  const socket = connect({
    ...{ host, port, servername, rejectUnauthorized: false, ...more },
    ...(protocols.length > 0 && { ALPNProtocols: [...protocols] }),
  });
  try {
    await once(socket, 'secureConnect');
    const seen = { certificate: socket.getPeerCertificate().raw, protocol: socket.alpnProtocol ?? false };
    await once(socket.resume().end(), 'close');
    return seen;
  } catch (error) {
    return { reason: (error as NodeJS.ErrnoException).code ?? (error as Error).message };
  } finally {
    socket.on('error', () => {}).destroy();
  }
}

/** The critical acmeIdentifier extension (RFC 8737 section 3) in DER, from its OID up to the digest. */
const acmeIdentifier = Buffer.from('06082b0601050507011f0101ff04220420', 'hex');

/** The digest in a certificate's acmeIdentifier extension, base64url. */
export function readAcmeIdentifier(certificate: Buffer): string | undefined {
  const at = certificate.indexOf(acmeIdentifier);
  const start = at + acmeIdentifier.length;
  return at < 0 ? undefined : certificate.toString('base64url', start, start + 32);
}
