import { openSigner, type Signer } from '../../../shared/acme/client.ts';
import { type CaConnection, openCaConnection } from '../../../shared/acme/connection.ts';
import { type Clock, systemClock } from '../../../shared/base/basics.ts';
import { generateKeyPem } from '../../../shared/pki/private-key.ts';

/** One account key for all tests of a process. */
export const accountKeyPem = await generateKeyPem('P-256');

export const never = new AbortController().signal;

export function connect(directoryUrl: string, clock: Clock = systemClock): CaConnection & Disposable {
  return openCaConnection({ directoryUrl, userAgent: 'quarry/test', clock });
}

/** Signs by the account key, which its requests carry. */
export const openKeySigner = (connection: CaConnection, signal: AbortSignal = never): Signer =>
  openSigner(connection, { keyPem: accountKeyPem }, signal);
