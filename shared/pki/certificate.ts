import { X509Certificate } from 'node:crypto';
import { canonicalAddress } from '../base/address.ts';
import type { Identifier } from './identifier.ts';

export type Certificate = {
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
  /** The DNS and IP SANs. */
  identifiers: Identifier[];
  /** The SubjectPublicKeyInfo, DER. */
  publicKey: Buffer;
  issuer: string;
  /** Hex. */
  serial: string;
};

/** Reads the first certificate in `pem`. Throws an Error when it is damaged. */
export function readCertificate(pem: string | Buffer): Certificate {
  const certificate = new X509Certificate(pem);
  return {
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    identifiers: parseAlternativeNames(certificate.subjectAltName ?? ''),
    publicKey: certificate.publicKey.export({ type: 'spki', format: 'der' }),
    issuer: certificate.issuer,
    serial: certificate.serialNumber,
  };
}

/**
 * Whether the CSR holds the certificate's key. A search for the key's bytes is enough and spares the parse: it only
 * guards against a storage entry whose two files do not belong together, and a client that writes a foreign public key
 * elsewhere into its own CSR gets nothing but a certificate it cannot use.
 */
export function certifiesKey(certificate: Pick<Certificate, 'publicKey'>, csrDer: Buffer): boolean {
  return csrDer.includes(certificate.publicKey);
}

/**
 * Node's text form, `DNS:a, IP Address:192.0.2.1`, in which a name with special characters is a JSON string, so that
 * none can forge another (CVE-2021-44532).
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
