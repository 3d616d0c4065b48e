import * as asn1js from 'asn1js';
import { BasicConstraints, type CertificationRequest, Extension } from 'pkijs';
import { IssuanceError } from '../base/errors.ts';

/** The extensions that a CSR asks for: what is inside each, by its OID. */
export type RequestedExtensions = Map<string, asn1js.BaseBlock>;

/** PKCS #9 extensionRequest (RFC 2985 section 5.4.2) and Microsoft's older name for the same. */
const extensionRequests = ['1.2.840.113549.1.9.14', '1.3.6.1.4.1.311.2.1.14'];

const basicConstraints = '2.5.29.19';

/** Throws `badCsr` when an extension is asked for twice, as then it is open which of the two a CA will take. */
export function readRequestedExtensions(request: CertificationRequest): RequestedExtensions {
  const extensions: RequestedExtensions = new Map();
  const attributes = request.attributes ?? [];
  for (const { type, values } of attributes) {
    if (!extensionRequests.includes(type)) continue;
    for (const extension of values.flatMap(readExtensionList)) {
      const { extnID, extnValue } = extension;
      if (extensions.has(extnID))
        throw new IssuanceError('badCsr', `the CSR asks for extension ${extnID} twice`);
      extensions.set(extnID, decodeValue(extnID, extnValue));
    }
  }
  return extensions;
}

/** Throws `badCsr` when the CSR asks for a CA certificate. */
export function refuseCertificateAuthority(extensions: RequestedExtensions): void {
  const value = extensions.get(basicConstraints);
  if (!value) return;
  if (new BasicConstraints({ schema: value }).cA)
    throw new IssuanceError('badCsr', 'the CSR asks for CA:TRUE');
}

function readExtensionList(value: unknown): Extension[] {
  if (!(value instanceof asn1js.Sequence))
    throw new IssuanceError('badCsr', 'the requested extensions are malformed');
  return value.valueBlock.value.map(schema => new Extension({ schema }));
}

function decodeValue(id: string, value: asn1js.OctetString): asn1js.BaseBlock {
  const bytes = value.valueBlock.valueHexView;
  const { offset, result } = asn1js.fromBER(bytes, { parseEmbedded: false, maxDepth: 20 });
  if (offset !== bytes.length)
    throw new IssuanceError('badCsr', `the requested extension ${id} is malformed`);
  return result;
}
