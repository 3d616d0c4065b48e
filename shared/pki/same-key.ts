import { createPublicKey } from 'node:crypto';
import { expectTag, readDer, Tag, wholeOf } from './der.ts';

/**
 * Whether a CSR holds a public key, however each of the two writes it: with or without the NULL of RSA's
 * parameters (RFC 3279 section 2.3.1), a point compressed or not (RFC 5480 section 2.2).
 *
 * @param publicKeyInfo SubjectPublicKeyInfo, DER
 */
export function holdsSameKey(csrDer: Buffer, publicKeyInfo: Buffer): boolean {
  try {
    return openKey(publicKeyInfo).equals(openKey(publicKeyInfoOf(csrDer)));
  } catch {
    return false; // one that cannot be read is not the same
  }
}

const openKey = (key: Buffer) => createPublicKey({ key, format: 'der', type: 'spki' });

/** RFC 2986 section 4: version, subject, subjectPKInfo, attributes. */
function publicKeyInfoOf(csrDer: Buffer): Buffer {
  const [info] = expectTag(readDer(csrDer), Tag.sequence).parts;
  return Buffer.from(wholeOf(expectTag(expectTag(info, Tag.sequence).parts[2], Tag.sequence)));
}
