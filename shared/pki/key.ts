import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';

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
  const fault = findKeyFault(key);
  if (fault) throw new Error(fault);
  return key;
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

/** Why a key is not fit for certificates by the CAs' rules, in a few words; undefined when it is. */
export function findKeyFault(key: KeyObject): string | undefined {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa')
    return findRsaFault(details?.modulusLength ?? 0, details?.publicExponent);
  if (key.asymmetricKeyType !== 'ec') return 'the key is neither RSA nor EC';
  if (curves.has(details?.namedCurve ?? '')) return undefined;
  return `the key's curve is not one of ${[...curves.values()].join(', ')}`;
}

function findRsaFault(bits: number, exponent: bigint | undefined): string | undefined {
  if (bits < 2048) return `the RSA key has ${bits} bits; at least 2048 are needed`;
  // The cost of checking a signature grows with the square of the length, and a client chooses the length.
  if (bits > 8192) return `the RSA key has ${bits} bits; at most 8192 are taken`;
  if (exponent !== 65537n) return "the RSA key's public exponent is not 65537";
  return undefined;
}
