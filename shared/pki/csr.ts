import { createHash } from 'node:crypto';
import * as asn1js from 'asn1js';
import { BasicConstraints, CertificationRequest, Extension, type RelativeDistinguishedNames } from 'pkijs';
import { IssuanceError } from '../base/basics.ts';
import {
  addressFromBytes,
  canonicalAddress,
  type Identifier,
  parseDnsName,
  quoteName,
} from '../base/identifier.ts';
import { decodePemBlocks, encodePem } from './certificate.ts';
import { readPublicKey, verifySelfSignature } from './key.ts';

export type CsrText = {
  der: Buffer;
  /** As openssl prints it, whatever line ends and text the client put around it. */
  pem: string;
  /** SHA-384 of `pem`, hex: one key for all spellings of a CSR. */
  digest: string;
  /** SHA-384 of the body as posted, hex: macen's key into its storage. */
  postedDigest: string;
};

type ParsedCsr = {
  /** At least one, at most 100, without duplicates: the CN's first, then the SANs in their order. */
  identifiers: Identifier[];
};

/** Finds the one PEM CSR in a posted body. Cheap: nothing of the CSR itself is looked at. Throws `badCsr`. */
export function readCsr(body: Buffer): CsrText {
  const text = body.toString();
  const der = findOnlyCsr(text);
  const pem = encodePem('CERTIFICATE REQUEST', der);
  const digest = sha384(pem);
  return { der, pem, digest, postedDigest: text === pem ? digest : sha384(body) };
}

/**
 * Reads a PKCS#10 request (RFC 2986) into what is to be ordered, and refuses with `badCsr` and one line
 * whatever a CA would refuse. Nothing later reads names from the CSR again.
 */
export async function parseCsr(der: Buffer): Promise<ParsedCsr> {
  try {
    const { request, publicKeyDer } = decodeRequest(der);
    const publicKey = readPublicKey(request, publicKeyDer);
    const extensions = readRequestedExtensions(request);
    refuseCertificateAuthority(extensions);
    const identifiers = collectIdentifiers(request.subject, extensions);
    await verifySelfSignature(request, publicKey);
    return { identifiers };
  } catch (error) {
    if (error instanceof IssuanceError) throw error;
    // The client sent the bytes that pkijs or OpenSSL stumbled over.
    throw new IssuanceError('badCsr', 'the CSR cannot be parsed', { cause: error });
  }
}

function findOnlyCsr(text: string): Buffer {
  try {
    const [first, ...more] = decodePemBlocks(text, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']);
    if (first && more.length === 0) return first.der;
    throw new Error(first ? 'the body holds more than one CSR' : 'the body holds no PEM certificate request');
  } catch (error) {
    throw new IssuanceError('badCsr', (error as Error).message, { cause: error });
  }
}

function sha384(data: string | Buffer): string {
  return createHash('sha384').update(data).digest('hex');
}

function decodeRequest(der: Buffer): { request: CertificationRequest; publicKeyDer: Buffer } {
  const { offset, result } = asn1js.fromBER(der, { parseEmbedded: false, maxDepth: 20 });
  if (offset === -1) throw new Error(result.error);
  if (offset !== der.length) refuse('the CSR is followed by other bytes');
  const [info, , , ...more] = childrenOf(result);
  const [, , publicKey, attributes, ...rest] = childrenOf(info);
  const request = new CertificationRequest({ schema: result });
  // pkijs passes over what its schema does not expect. A name must not hide there.
  const known = request.attributes?.length ?? 0;
  if (more.length || rest.length || known !== childrenOf(attributes).length)
    throw new Error('unexpected elements');
  return { request, publicKeyDer: Buffer.from(publicKey?.valueBeforeDecodeView ?? []) };
}

function childrenOf(block: asn1js.BaseBlock | undefined): asn1js.BaseBlock[] {
  return block instanceof asn1js.Constructed ? block.valueBlock.value : [];
}

/** The content of each extension that a CSR asks for, by its OID. */
type RequestedExtensions = Map<string, asn1js.BaseBlock>;

/** PKCS #9 extensionRequest (RFC 2985 section 5.4.2) and Microsoft's older name for the same. */
const extensionRequests = ['1.2.840.113549.1.9.14', '1.3.6.1.4.1.311.2.1.14'];
const basicConstraints = '2.5.29.19';
const subjectAltName = '2.5.29.17';

function readRequestedExtensions(request: CertificationRequest): RequestedExtensions {
  const extensions: RequestedExtensions = new Map();
  const requests = (request.attributes ?? []).filter(({ type }) => extensionRequests.includes(type));
  for (const { extnID, extnValue } of requests.flatMap(({ values }) => values.flatMap(readExtensionList))) {
    // Readers differ in which of two extensions they take.
    if (extensions.has(extnID)) refuse(`the CSR asks for extension ${extnID} twice`);
    extensions.set(extnID, decodeExtension(extnID, extnValue));
  }
  return extensions;
}

function readExtensionList(value: unknown): Extension[] {
  if (!(value instanceof asn1js.Sequence)) refuse('the requested extensions are malformed');
  return value.valueBlock.value.map(schema => new Extension({ schema }));
}

function decodeExtension(id: string, value: asn1js.OctetString): asn1js.BaseBlock {
  const bytes = value.valueBlock.valueHexView;
  const { offset, result } = asn1js.fromBER(bytes, { parseEmbedded: false, maxDepth: 20 });
  if (offset !== bytes.length) refuse(`the requested extension ${id} is malformed`);
  return result;
}

function refuseCertificateAuthority(extensions: RequestedExtensions): void {
  const value = extensions.get(basicConstraints);
  if (value && new BasicConstraints({ schema: value }).cA) refuse('the CSR asks for CA:TRUE');
}

const commonName = '2.5.4.3';
const mostNames = 100;

/** The tags of GeneralName (RFC 5280 section 4.2.1.6) in words; only 2 and 7 are accepted. */
const kinds = ['other', 'e-mail', 'DNS', 'X.400', 'directory', 'EDI party', 'URI', 'IP', 'registered ID'];

function collectIdentifiers(
  subject: RelativeDistinguishedNames,
  extensions: RequestedExtensions,
): Identifier[] {
  const alternatives = readAlternativeNames(extensions.get(subjectAltName));
  const common = readCommonName(subject, alternatives);
  const distinct = new Map([...common, ...alternatives].map(name => [keyOf(name), name]));
  if (distinct.size === 0) refuse('the CSR names no host');
  if (distinct.size > mostNames) refuse(`the CSR has ${distinct.size} names; at most ${mostNames} are taken`);
  return [...distinct.values()];
}

function readAlternativeNames(extension: asn1js.BaseBlock | undefined): Identifier[] {
  if (!extension) return [];
  if (!(extension instanceof asn1js.Sequence)) refuse('the subject alternative names are malformed');
  return extension.valueBlock.value.map(readAlternativeName);
}

function readAlternativeName({ idBlock, valueBlock }: asn1js.BaseBlock): Identifier {
  const kind = idBlock.tagClass === 3 ? idBlock.tagNumber : -1;
  if (kind !== 2 && kind !== 7)
    refuse(`names of kind ${kinds[kind] ?? 'unknown'} are not accepted, only DNS and IP`);
  if (idBlock.isConstructed || !('valueHexView' in valueBlock))
    refuse('a subject alternative name is malformed');
  const bytes = Buffer.from(valueBlock.valueHexView as Uint8Array);
  if (kind === 2) return { type: 'dns', value: parseDnsName(bytes.toString()) };
  const value = addressFromBytes(bytes);
  if (value === undefined) refuse('an IP name does not hold an IPv4 or an IPv6 address');
  return { type: 'ip', value };
}

/** At most one name: a CN that is meant for people ("My server") does not count. */
function readCommonName(subject: RelativeDistinguishedNames, alternatives: Identifier[]): Identifier[] {
  const texts = subject.typesAndValues
    .filter(({ type }) => type === commonName)
    .map(({ value }) => textOf(value));
  const known = new Set(alternatives.map(keyOf));
  const names = texts.map(readHost);
  // Of several CNs some readers take the first and some the last, so each of them has to be a SAN.
  const hidden = texts.length > 1 ? names.findIndex(name => !name || !known.has(keyOf(name))) : -1;
  if (hidden >= 0) refuse(`of several common names, ${quoteName(texts[hidden] ?? '')} is not among the SANs`);
  const name = names.at(-1);
  if (name?.type === 'ip' && !known.has(keyOf(name)))
    refuse(`the common name ${name.value} is not among the IP SANs`);
  return name ? [name] : [];
}

function readHost(text: string): Identifier | undefined {
  if (text === '') refuse('the common name is empty');
  const address = canonicalAddress(text);
  if (address) return { type: 'ip', value: address };
  // A text with a dot and no space is meant as a host name, so its faults are reported.
  const isMeantAsHost = text.includes('.') && !/\s/.test(text);
  if (!isMeantAsHost && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(text)) return undefined;
  return { type: 'dns', value: parseDnsName(text) };
}

function textOf(value: asn1js.BaseBlock): string {
  if (!(value instanceof asn1js.BaseStringBlock)) refuse('the common name is not text');
  return value.getValue();
}

const keyOf = ({ type, value }: Identifier) => `${type}:${value}`;

function refuse(detail: string): never {
  throw new IssuanceError('badCsr', detail);
}
