import { X509Certificate } from 'node:crypto';
import { addressToBytes, type Identifier } from '../base/identifier.ts';
import { decodeCertificate } from './certificate-fields.ts';
import { readExtension } from './chain-link.ts';
import { CONTEXT_SPECIFIC, contentOf, expectTag, readWholeDer, Tag } from './der.ts';

/** RFC 8737 section 3, id-pe-acmeIdentifier. */
export const acmeIdentifier = '1.3.6.1.5.5.7.1.31';
const subjectAltName = '2.5.29.17';
/** Of a GeneralName: dNSName and iPAddress. */
const tags = { dns: CONTEXT_SPECIFIC | 2, ip: CONTEXT_SPECIFIC | 7 };

/**
 * Whether a certificate answers a tls-alpn-01 challenge (RFC 8737 section 3, RFC 8738 section 4):
 * self-signed, for this one identifier, with the critical acmeIdentifier extension.
 *
 * @param digest the SHA-256 of the key authorization
 * @returns why it does not, in words to follow the certificate; `undefined` where it does
 */
export function findAcmeCertificateFault(
  der: Buffer,
  identifier: Identifier,
  digest: Buffer,
): string | undefined {
  try {
    const extensions = decodeCertificate(der).extensions.map(readExtension);
    const named = (wanted: string) => extensions.filter(({ id }) => id === wanted);
    const [[names, ...moreNames], [proof, ...moreProofs]] = [named(subjectAltName), named(acmeIdentifier)];
    if (moreNames.length + moreProofs.length > 0) return 'has an extension twice';
    if (!names || !isFor(contentOf(names.value), identifier)) return `is not for ${identifier.value} alone`;
    if (!proof) return 'has no acmeIdentifier extension';
    if (!proof.isCritical) return 'has an acmeIdentifier extension that is not critical';
    const value = readWholeDer(contentOf(proof.value));
    if (!contentOf(expectTag(value, Tag.octetString)).equals(digest))
      return 'has the digest of another key authorization';
    return isSelfSigned(der) ? undefined : 'is not self-signed';
  } catch {
    return 'is damaged';
  }
}

function isFor(names: Buffer, { type, value }: Identifier): boolean {
  const [name, ...others] = expectTag(readWholeDer(names), Tag.sequence).parts;
  if (!name || others.length > 0 || name.tag !== tags[type]) return false;
  const content = contentOf(name);
  return type === 'ip'
    ? content.equals(addressToBytes(value))
    : content.toString('latin1').toLowerCase() === value;
}

/** What the key may be used for does not matter: clients say little of it, and OpenSSL would ask. */
function isSelfSigned(der: Buffer): boolean {
  const certificate = new X509Certificate(der);
  return certificate.issuer === certificate.subject && certificate.verify(certificate.publicKey);
}
