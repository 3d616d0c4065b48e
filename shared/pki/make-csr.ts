import type { KeyObject } from 'node:crypto';
import * as asn1js from 'asn1js';
import {
  Attribute,
  AttributeTypeAndValue,
  CertificationRequest,
  Extension,
  Extensions,
  GeneralName,
  GeneralNames,
} from 'pkijs';
import { addressToBytes, type Identifier } from '../base/identifier.ts';
import { toPublicKeyInfo } from './private-key.ts';

const commonName = '2.5.4.3';
export const subjectAltName = '2.5.29.17';
const extensionRequest = '1.2.840.113549.1.9.14';
/** RFC 5280 appendix A.1, ub-common-name. */
const longestCommonName = 64;

/** Algorithms by WebCrypto's names, which pkijs signs by. */
const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
const curves: Record<string, string> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

/**
 * Makes a PKCS#10 request (RFC 2986) for these names, signed with SHA-256. All names stand in the SAN, which
 * is critical as the subject may be empty. The first DNS name that is short enough is the CN too; an address
 * never is (RFC 8738 section 3).
 *
 * @param key an EC or RSA key, as `readPrivateKey` gives it
 * @param identifiers at least one
 * @returns DER
 */
export async function makeCsr(key: KeyObject, identifiers: readonly Identifier[]): Promise<Buffer> {
  const request = new CertificationRequest({ attributes: [requestedNames(identifiers)] });
  const common = identifiers.find(({ type, value }) => type === 'dns' && value.length <= longestCommonName);
  if (common) request.subject.typesAndValues.push(toCommonName(common.value));
  request.subjectPublicKeyInfo.fromSchema(asn1js.fromBER(toPublicKeyInfo(key)).result);
  await request.sign(toCryptoKey(key), 'SHA-256');
  return Buffer.from(request.toSchema(true).toBER());
}

function requestedNames(identifiers: readonly Identifier[]): Attribute {
  const value = new GeneralNames({ names: identifiers.map(toGeneralName) }).toSchema().toBER();
  const extension = new Extension({ extnID: subjectAltName, critical: true, extnValue: value });
  const values = [new Extensions({ extensions: [extension] }).toSchema()];
  return new Attribute({ type: extensionRequest, values });
}

/** RFC 5280 section 4.2.1.6: 2 is dNSName, 7 is iPAddress. */
export function toGeneralName({ type, value }: Identifier): GeneralName {
  if (type === 'dns') return new GeneralName({ type: 2, value });
  return new GeneralName({
    type: 7,
    value: new asn1js.OctetString({ valueHex: toArrayBuffer(addressToBytes(value)) }),
  });
}

export function toCommonName(value: string): AttributeTypeAndValue {
  return new AttributeTypeAndValue({ type: commonName, value: new asn1js.Utf8String({ value }) });
}

export function toCryptoKey(key: KeyObject): CryptoKey {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const algorithm =
    key.asymmetricKeyType === 'rsa' ? rsa : { name: 'ECDSA', namedCurve: curves[curve] ?? curve };
  // Node's declaration of CryptoKey and the DOM's differ in key usages.
  return key.toCryptoKey(algorithm, false, ['sign']) as CryptoKey;
}

const toArrayBuffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
