import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createAtomically, readCreated } from '../base/atomic-file.ts';
import { describeError, describeFileError } from '../base/errors.ts';

/** What signs the trail, and what others verify it with: Ed25519 (RFC 8032). */
export type SigningKey = {
  /** @returns the signature in base64 */
  sign(text: string): string;
  publicKey: PublicKey;
};

export type PublicKey = {
  /** SPKI. */
  pem: string;
  /** SHA-256 of its DER, in hex. */
  fingerprint: string;
  /** @param signature in base64 */
  isSignature(text: string, signature: string): boolean;
};

/**
 * Reads the key, and makes it where it is absent.
 *
 * @param file PKCS#8 in PEM
 * @throws Error in one line that names the file
 */
export async function openSigningKey(file: string): Promise<SigningKey> {
  const pem = (await readCreated(file)) ?? (await makeKey(file));
  try {
    const key = createPrivateKey(pem);
    return {
      sign: text => sign(null, Buffer.from(text), key).toString('base64'),
      publicKey: toPublicKey(createPublicKey(key)),
    };
  } catch (error) {
    throw new Error(`${file} is no Ed25519 key: ${describeError(error)}`);
  }
}

async function makeKey(file: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await createAtomically(file, pem, 0o600);
    return (await readCreated(file)) ?? pem;
  } catch (error) {
    const why = describeFileError(error);
    throw new Error(`${file} is absent and cannot be made: ${why}; [trail] key-file can name another`);
  }
}

/** @throws Error where it is no Ed25519 key in PEM */
export function readPublicKey(pem: string): PublicKey {
  return toPublicKey(createPublicKey(pem));
}

function toPublicKey(key: KeyObject): PublicKey {
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('it is of another kind');
  return {
    pem: key.export({ format: 'pem', type: 'spki' }).toString(),
    fingerprint: hash('sha256', key.export({ format: 'der', type: 'spki' })),
    isSignature: (text, signature) => verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64')),
  };
}
