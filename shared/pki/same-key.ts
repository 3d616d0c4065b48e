import { createPublicKey } from 'node:crypto';
import { expectTag, readDer, Tag, wholeOf } from './der.ts';

/**
 * Whether two public keys are one, however each is written: with or without the NULL of RSA's parameters (RFC
 * 3279 section 2.3.1), a point compressed or not (RFC 5480 section 2.2). One that cannot be read is not.
 *
 * @param one SubjectPublicKeyInfo, DER
 */
export function isSameKey(one: Buffer, other: Buffer): boolean {
  return one.equals(other) || quietly(() => openKey(one).equals(openKey(other)));
}

/** Whether a CSR (DER) holds a public key. */
export function holdsSameKey(csrDer: Buffer, publicKeyInfo: Buffer): boolean {
  return quietly(() => isSameKey(publicKeyInfoOf(csrDer), publicKeyInfo));
}

const openKey = (key: Buffer) => createPublicKey({ key, format: 'der', type: 'spki' });

function quietly(compare: () => boolean): boolean {
  try {
    return compare();
  } catch {
    return false;
  }
}

/** RFC 2986 section 4: version, subject, subjectPKInfo, attributes. */
function publicKeyInfoOf(csrDer: Buffer): Buffer {
  const [info] = expectTag(readDer(csrDer), Tag.sequence).parts;
  return Buffer.from(wholeOf(expectTag(expectTag(info, Tag.sequence).parts[2], Tag.sequence)));
}
