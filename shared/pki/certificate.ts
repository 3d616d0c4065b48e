import { X509Certificate } from 'node:crypto';
import * as asn1js from 'asn1js';
import { AuthorityKeyIdentifier, Certificate as DecodedCertificate } from 'pkijs';
import { canonicalAddress } from '../base/address.ts';
import type { Identifier } from './identifier.ts';
import { decodePem } from './pem.ts';

/** Milliseconds since the epoch. */
export type CertificateLife = { notBefore: number; notAfter: number };

export type Certificate = CertificateLife & {
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
 * Whether the CSR holds the certificate's key. A search for the key's bytes is enough and spares the parse:
 * it only guards against a storage entry whose two files do not belong together. A client that writes a
 * foreign public key elsewhere into its own CSR gets nothing but a certificate it cannot use.
 */
export function certifiesKey(certificate: Pick<Certificate, 'publicKey'>, csrDer: Buffer): boolean {
  return csrDer.includes(certificate.publicKey);
}

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

/** The two values by which a CA knows one of its certificates, as the certificate holds them. */
type CertificateIds = {
  /** From the Authority Key Identifier extension (RFC 5280 section 4.2.1.1), where there is one. */
  keyIdentifier: Buffer | undefined;
  /** The serial number's content bytes in DER, with the leading 00 of one that would else be negative. */
  serial: Buffer;
};

const authorityKeyIdentifier = '2.5.29.35';

/** Reads the first certificate in `pem`. Throws an Error when it is damaged. */
export function readCertificateIds(pem: string): CertificateIds {
  const der = decodePem(pem, ['CERTIFICATE']);
  const { offset, result } = asn1js.fromBER(der, { parseEmbedded: false, maxDepth: 20 });
  if (offset !== der.length) throw new Error('the certificate is damaged');
  const { serialNumber, extensions = [] } = new DecodedCertificate({ schema: result });
  const extension = extensions.find(({ extnID }) => extnID === authorityKeyIdentifier);
  return {
    keyIdentifier: extension && readKeyIdentifier(extension.extnValue.valueBlock.valueHexView),
    serial: Buffer.from(serialNumber.valueBlock.valueHexView),
  };
}

function readKeyIdentifier(value: Uint8Array): Buffer | undefined {
  const { offset, result } = asn1js.fromBER(value, { parseEmbedded: false, maxDepth: 20 });
  if (offset !== value.length) throw new Error("the certificate's Authority Key Identifier is damaged");
  const { keyIdentifier } = new AuthorityKeyIdentifier({ schema: result });
  return keyIdentifier && Buffer.from(keyIdentifier.valueBlock.valueHexView);
}

const DAY = 24 * 3_600_000;

/** The last part of a certificate's life, in which a failed attempt to renew it is an alarm. */
export const LAST_PART = 1 / 20;

export const lifeOf = ({ notBefore, notAfter }: CertificateLife) => notAfter - notBefore;

/**
 * The time from which a certificate is renewed by days before its end: with a third of its life left where no
 * days are set, and never in the first half of its life, as a short-lived certificate would then be renewed
 * at every look.
 *
 * @param days before its end
 * @returns milliseconds since the epoch
 */
export function renewalTime(life: CertificateLife, days: number | undefined): number {
  return life.notAfter - (days === undefined ? lifeOf(life) / 3 : Math.min(days * DAY, lifeOf(life) / 2));
}

/** Renewals by days are spread over these milliseconds from that time on, so that not all happen at once. */
export function renewalSpread(life: CertificateLife, days: number | undefined): number {
  return Math.min(lifeOf(life) * LAST_PART, (life.notAfter - renewalTime(life, days)) / 4);
}
