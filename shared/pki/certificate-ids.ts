import * as asn1js from 'asn1js';
import { AuthorityKeyIdentifier, Certificate } from 'pkijs';
import { decodePem } from './pem.ts';

/** What names one certificate of one issuer, as it stands in the certificate. */
export type CertificateIds = {
  /** Of the Authority Key Identifier extension (RFC 5280 section 4.2.1.1); absent where there is none. */
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
  const { serialNumber, extensions = [] } = new Certificate({ schema: result });
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
