import { type CaConnection, openCaConnection } from '../../../shared/acme/ca-connection.ts';
import { AcmeTransport } from '../../../shared/acme/transport.ts';
import { type Clock, systemClock } from '../../../shared/base/clock.ts';
import { generateKeyPem } from '../../../shared/pki/key.ts';

/** One account key for all tests of a process. */
export const accountKeyPem = await generateKeyPem('P-256');

export const never = new AbortController().signal;

export function connect(directoryUrl: string, clock: Clock = systemClock): CaConnection & Disposable {
  return openCaConnection({ directoryUrl, userAgent: 'quarry/test', clock });
}

export function openTransport(connection: CaConnection, signal: AbortSignal = never): AcmeTransport {
  return new AcmeTransport(connection, { keyPem: accountKeyPem }, signal);
}
