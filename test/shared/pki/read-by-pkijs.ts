import * as asn1js from 'asn1js';
import { Certificate, CertificationRequest, Extension, type RelativeDistinguishedNames } from 'pkijs';
import { addressFromBytes } from '../../../shared/base/identifier.ts';

// A second reader, by a library, of what the product reads with its own.

const extensionRequests = ['1.2.840.113549.1.9.14', '1.3.6.1.4.1.311.2.1.14'];

/** What a CSR holds that counts. Throws where pkijs cannot read it, or reads only a part. */
export function readCsrByPkijs(der: Buffer): { commonNames: string[]; sans: string[]; publicKey: Buffer } {
  const schema = decode(der);
  const request = new CertificationRequest({ schema });
  const wanted = (request.attributes ?? []).filter(({ type }) => extensionRequests.includes(type));
  const lists = wanted.flatMap(({ values }) => values as asn1js.Sequence[]);
  const extensions = lists.flatMap(list => list.valueBlock.value.map(one => new Extension({ schema: one })));
  return {
    commonNames: commonNamesOf(request.subject),
    sans: alternativeNamesOf(extensions),
    publicKey: Buffer.from(request.subjectPublicKeyInfo.toSchema().toBER()),
  };
}

/** The same of a certificate, with what names it at its CA. */
export function readCertificateByPkijs(der: Buffer) {
  const { serialNumber, extensions = [], subjectPublicKeyInfo } = new Certificate({ schema: decode(der) });
  const authority = extensions.find(({ extnID }) => extnID === '2.5.29.35')?.parsedValue;
  return {
    serial: Buffer.from(serialNumber.valueBlock.valueHexView),
    keyIdentifier: authority?.keyIdentifier && Buffer.from(authority.keyIdentifier.valueBlock.valueHexView),
    publicKey: Buffer.from(subjectPublicKeyInfo.toSchema().toBER()),
  };
}

function decode(der: Buffer): asn1js.AsnType {
  const { offset, result } = asn1js.fromBER(der, { parseEmbedded: false, maxDepth: 20 });
  if (offset !== der.length) throw new Error(result.error || 'other bytes follow');
  return result;
}

function commonNamesOf(subject: RelativeDistinguishedNames): string[] {
  const common = subject.typesAndValues.filter(({ type }) => type === '2.5.4.3');
  return common.map(({ value }) => (value as asn1js.BaseStringBlock).getValue());
}

/** As `dns:…` or `ip:…`; names of other kinds as their tag. */
function alternativeNamesOf(extensions: Extension[]): string[] {
  const found = extensions.filter(({ extnID }) => extnID === '2.5.29.17');
  return found.flatMap(({ extnValue }) => {
    const names = decode(Buffer.from(extnValue.valueBlock.valueHexView)) as asn1js.Sequence;
    return names.valueBlock.value.map(({ idBlock, valueBlock }) => {
      const bytes = Buffer.from((valueBlock as unknown as { valueHexView: Uint8Array }).valueHexView);
      if (idBlock.tagNumber === 2) return `dns:${bytes.toString().toLowerCase()}`;
      return idBlock.tagNumber === 7 ? `ip:${addressFromBytes(bytes)}` : `${idBlock.tagNumber}`;
    });
  });
}
