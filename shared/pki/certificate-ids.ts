import { decodePem } from './certificate.ts';
import { decodeCertificate } from './certificate-fields.ts';
import { CONTEXT_SPECIFIC, contentOf, type Der, expectTag, readDer, readOid, Tag } from './der.ts';

/** The two values by which a CA knows one of its certificates, as the certificate holds them. */
type CertificateIds = {
  /** From the Authority Key Identifier extension (RFC 5280 section 4.2.1.1), where there is one. */
  keyIdentifier: Buffer | undefined;
  /** The serial number's content bytes in DER, with the leading 00 of one that would else be negative. */
  serial: Buffer;
};

const authorityKeyIdentifier = '2.5.29.35';

/** Reads a certificate, of PEM the first in it. Throws an Error when it is damaged. */
export function readCertificateIds(pemOrDer: string | Buffer): CertificateIds {
  const der = typeof pemOrDer === 'string' ? decodePem(pemOrDer, ['CERTIFICATE']) : pemOrDer;
  const { serial, extensions } = decodeCertificate(der);
  const extension = extensions.find(({ parts }) => readOid(parts[0]) === authorityKeyIdentifier);
  return {
    keyIdentifier: extension && readKeyIdentifier(expectTag(extension.parts.at(-1), Tag.octetString)),
    serial: Buffer.from(contentOf(serial)),
  };
}

function readKeyIdentifier(value: Der): Buffer | undefined {
  const content = contentOf(value);
  const identifier = expectTag(readDer(content), Tag.sequence);
  if (identifier.end !== content.length)
    throw new Error("the certificate's Authority Key Identifier is damaged");
  const keyIdentifier = identifier.parts.find(({ tag }) => tag === CONTEXT_SPECIFIC);
  return keyIdentifier && Buffer.from(contentOf(keyIdentifier));
}
