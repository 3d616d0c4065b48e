import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import * as asn1js from 'asn1js';
import { Certificate, Extension, GeneralNames } from 'pkijs';
import type { Identifier } from '../base/identifier.ts';
import { subjectAltName, toCommonName, toCryptoKey, toGeneralName } from './make-csr.ts';
import { acmeIdentifier } from './read-acme-certificate.ts';

const subject = 'acme-tls/1 challenge';
const day = 86_400_000;

/**
 * Makes the certificate that answers a tls-alpn-01 challenge (RFC 8737 section 3, RFC 8738 section 4):
 * self-signed, for this one identifier, with the critical acmeIdentifier extension.
 *
 * @param key an EC or RSA key, as `readPrivateKey` gives it
 * @param digest the SHA-256 of the key authorization, 32 bytes
 * @param now milliseconds since the epoch
 * @returns DER
 */
export async function makeAcmeCertificate(
  key: KeyObject,
  identifier: Identifier,
  digest: Buffer,
  now: number,
): Promise<Buffer> {
  const certificate = new Certificate({ version: 2, serialNumber: newSerial() });
  for (const name of [certificate.subject, certificate.issuer])
    name.typesAndValues.push(toCommonName(subject));
  certificate.notBefore.value = new Date(now - day);
  certificate.notAfter.value = new Date(now + 7 * day);
  certificate.extensions = [
    new Extension({
      extnID: subjectAltName,
      extnValue: new GeneralNames({ names: [toGeneralName(identifier)] }).toSchema().toBER(),
    }),
    new Extension({
      extnID: acmeIdentifier,
      critical: true,
      extnValue: new asn1js.OctetString({ valueHex: new Uint8Array(digest).buffer }).toBER(),
    }),
  ];
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  certificate.subjectPublicKeyInfo.fromSchema(asn1js.fromBER(spki).result);
  await certificate.sign(toCryptoKey(key), 'SHA-256');
  return Buffer.from(certificate.toSchema(true).toBER());
}

/** Makes a positive number without a leading zero byte, as DER wants it. */
function newSerial(): asn1js.Integer {
  const bytes = new Uint8Array(randomBytes(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return new asn1js.Integer({ valueHex: bytes.buffer });
}
