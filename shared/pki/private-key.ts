import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { readDer } from './der.ts';
import { judgeKey } from './key.ts';

const curves = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
]);

export type KeyType = 'P-256' | 'P-384' | 'RSA-2048' | 'RSA-3072' | 'RSA-4096';

/** A new private key, as PKCS#8 PEM (RFC 5958, RFC 7468 section 10) without a password. */
export async function generateKeyPem(type: KeyType): Promise<string> {
  const { privateKey } = type.startsWith('P-')
    ? await promisify(generateKeyPair)('ec', { namedCurve: type })
    : await promisify(generateKeyPair)('rsa', { modulusLength: Number(type.slice('RSA-'.length)) });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Names the kind of a key as `KeyType` does; `P-521` and other lengths of RSA are possible too. */
export function describeKeyType({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): string {
  if (asymmetricKeyType === 'rsa') return `RSA-${details?.modulusLength}`;
  return curves.get(details?.namedCurve ?? '') ?? `${asymmetricKeyType}`;
}

/**
 * Reads the private key in `pem` (RFC 7468: PKCS#8, PKCS#1 or SEC1, no password).
 *
 * @throws Error that says what is wrong with it
 */
export function readPrivateKey(pem: string | Buffer): KeyObject {
  const key = openPrivateKey(pem);
  const { fault } = judgeKey(readDer(toPublicKeyInfo(key)));
  if (fault) throw new Error(fault);
  return key;
}

/**
 * The public key of a private one, as SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER. An EC key's point
 * is uncompressed, as CAs want it, whatever the private key's file has.
 */
export function toPublicKeyInfo(key: KeyObject): Buffer {
  const own = createPublicKey(key);
  const isEc = curves.has(own.asymmetricKeyDetails?.namedCurve ?? '');
  const plain = isEc ? createPublicKey({ key: own.export({ format: 'jwk' }), format: 'jwk' }) : own;
  return plain.export({ type: 'spki', format: 'der' });
}

function openPrivateKey(pem: string | Buffer): KeyObject {
  // "BEGIN ENCRYPTED PRIVATE KEY", or "Proc-Type: 4,ENCRYPTED" in the older form.
  if (pem.includes('ENCRYPTED')) throw new Error('the private key is encrypted');
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new Error('not a private key in PEM', { cause: error });
  }
}
