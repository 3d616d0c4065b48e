import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import { readPrivateKey } from '../pki/private-key.ts';

/** An account's key as requests need it. */
export type AccountKey = {
  key: KeyObject;
  /** The public one (RFC 7517), its members sorted as RFC 7638 wants them for the thumbprint. */
  jwk: Record<string, unknown>;
  /** RFC 7638, base64url. */
  thumbprint: string;
  alg: 'RS256' | 'ES256' | 'ES384' | 'ES512';
};

/**
 * @param pem PKCS#8
 * @throws Error that says what is wrong with the key
 */
export function openAccountKey(pem: string): AccountKey {
  const key = readPrivateKey(pem);
  const alg = algorithmOf(key);
  const members = Object.entries(createPublicKey(key).export({ format: 'jwk' }));
  const jwk = Object.fromEntries(members.sort(([one], [other]) => (one < other ? -1 : 1)));
  return { key, jwk, thumbprint: hash('sha256', JSON.stringify(jwk), 'base64url'), alg };
}

/** RFC 7518 section 3.1. */
function algorithmOf(key: KeyObject): AccountKey['alg'] {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  const curves: Record<string, AccountKey['alg']> = {
    prime256v1: 'ES256',
    secp384r1: 'ES384',
    secp521r1: 'ES512',
  };
  const algorithm = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (!algorithm)
    throw new IssuanceError('misconfigured', 'the account key is neither RSA nor EC on a P curve');
  return algorithm;
}
