import { createPublicKey } from 'node:crypto';
import { type Certificate, decodePemBlocks, readCertificate } from './certificate.ts';
import { expectTag, readDer, Tag } from './der.ts';
import { keyDigest } from './key.ts';

/** The `keyDigest` of the key in a SubjectPublicKeyInfo, DER. */
const infoKey = (info: Buffer): string => keyDigest(readDer(info));

/** The `keyDigest` of a certificate's key. */
export const certificateKeyDigest = ({ publicKey }: Pick<Certificate, 'publicKey'>): string =>
  infoKey(publicKey);

/** The `keyDigest` of a CSR's key. Nothing else of it is looked at. */
export function csrKeyDigest(der: Buffer): string {
  const info = expectTag(readDer(der).parts[0], Tag.sequence);
  return keyDigest(expectTag(info.parts[2], Tag.sequence));
}

/** The `keyDigest` of a key that Node has opened. */
export const openedKeyDigest = (key: Parameters<typeof createPublicKey>[0]): string =>
  infoKey(createPublicKey(key).export({ format: 'der', type: 'spki' }));

const labels = ['CERTIFICATE', 'CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST', 'PUBLIC KEY'];

/**
 * The `keyDigest` of the key in a PEM: of the first certificate of a chain, a CSR, or a public key.
 *
 * @throws Error in one line
 */
export function readKeyDigest(text: string): string {
  const [block] = decodePemBlocks(text, labels);
  if (!block) throw new Error('it holds no certificate, CSR or public key in PEM');
  try {
    if (block.label === 'CERTIFICATE') return certificateKeyDigest(readCertificate(text));
    if (block.label === 'PUBLIC KEY') return openedKeyDigest({ key: block.der, format: 'der', type: 'spki' });
    return csrKeyDigest(block.der);
  } catch (error) {
    throw new Error(`the ${block.label.toLowerCase()} in it is damaged`, { cause: error });
  }
}
