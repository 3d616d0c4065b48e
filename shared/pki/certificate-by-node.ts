import { X509Certificate } from 'node:crypto';
import { canonicalAddress, type Identifier } from '../base/identifier.ts';
import { decodeCertificate } from './certificate-fields.ts';
import { wholeOf } from './der.ts';
import type { CertificateLife } from './life.ts';

export type Certificate = CertificateLife & {
  /** The DNS and IP SANs. */
  identifiers: Identifier[];
  /** The SubjectPublicKeyInfo, DER. */
  publicKey: Buffer;
  /** A line for each attribute. */
  issuer: string;
  /** Hex. */
  serial: string;
};

/** Reads what is unusual in a certificate, too, and takes its time. Throws an Error when it is damaged. */
export function readByNode(pemOrDer: string | Buffer): Certificate {
  const certificate = new X509Certificate(pemOrDer);
  const { validFrom, validTo } = certificate;
  if ([validFrom, validTo].includes(BAD_TIME))
    throw new Error('the certificate has no time that can be read');
  return {
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    identifiers: parseAlternativeNames(certificate.subjectAltName ?? ''),
    publicKey: Buffer.from(wholeOf(decodeCertificate(certificate.raw).publicKeyInfo)),
    issuer: certificate.issuer ?? '', // undefined where it has no name
    serial: certificate.serialNumber,
  };
}

/** OpenSSL says so; the Date that Node has of it may be any. */
const BAD_TIME = 'Bad time value';

/**
 * Node's text form, `DNS:a, IP Address:192.0.2.1`, in which a name with special characters is a JSON string,
 * so that it cannot forge another (CVE-2021-44532).
 */
function parseAlternativeNames(text: string): Identifier[] {
  return [...text.matchAll(/(?:^|, )([^:",]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)].flatMap(([, kind, raw = '']) => {
    const value = raw.startsWith('"') ? String(JSON.parse(raw)) : raw;
    return toIdentifier(kind, value);
  });
}

function toIdentifier(kind: string | undefined, value: string): Identifier[] {
  if (kind === 'DNS') return [{ type: 'dns', value: value.toLowerCase() }];
  const address = kind === 'IP Address' ? canonicalAddress(value) : undefined;
  return address ? [{ type: 'ip', value: address }] : [];
}
