import { createPublicKey, type KeyObject } from 'node:crypto';
import { readPrivateKey } from '../pki/key.ts';
import type { CaConnection } from './ca-connection.ts';

/** An account's key as requests need it. */
export type AccountKey = {
  pem: string;
  key: KeyObject;
  /** The public one (RFC 7517), its members sorted as RFC 7638 wants them for the thumbprint. */
  jwk: Record<string, string>;
};

/**
 * Opens an account's key, once for the many orders of a process that sign with it.
 *
 * @param pem PKCS#8
 * @throws Error that says what is wrong with it
 */
export function openAccountKey(connection: CaConnection, pem: string): AccountKey {
  if (connection.accountKey?.pem === pem) return connection.accountKey;
  const key = readPrivateKey(pem);
  const members = Object.entries(createPublicKey(pem).export({ format: 'jwk' })) as [string, string][];
  const jwk = Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)));
  connection.accountKey = { pem, key, jwk };
  return connection.accountKey;
}
