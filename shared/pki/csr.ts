import { hash } from 'node:crypto';
import { IssuanceError } from '../base/basics.ts';
import {
  addressFromBytes,
  canonicalAddress,
  type Identifier,
  parseDnsName,
  quoteName,
} from '../base/identifier.ts';
import { decodePemBlocks, encodePem, keyDigest } from './certificate.ts';
import {
  CLASS,
  CONSTRUCTED,
  CONTEXT_SPECIFIC,
  contentOf,
  type Der,
  expectTag,
  NUMBER,
  readDer,
  readOid,
  Tag,
  wholeOf,
} from './der.ts';
import { readPublicKey, refuse, verifySelfSignature } from './key.ts';

export type CsrText = {
  der: Buffer;
  /** As openssl prints it, whatever line ends and text the client put around it. */
  pem: string;
  /** SHA-384 of `pem`, hex: one key for all spellings of a CSR. */
  digest: string;
  /** SHA-384 of the body as posted, hex: macen's key into its storage. */
  postedDigest: string;
};

export type ParsedCsr = {
  /** At least one, at most 100, without duplicates: the CN's first, then the SANs in their order. */
  identifiers: Identifier[];
  /** The `keyDigest` of its key. */
  publicKey: string;
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
export function parseCsr(der: Buffer): ParsedCsr {
  try {
    const { info, subject, publicKeyInfo, attributes, ...signed } = decodeRequest(der);
    const publicKey = readPublicKey(publicKeyInfo);
    const extensions = readRequestedExtensions(attributes);
    refuseCertificateAuthority(extensions);
    const identifiers = collectIdentifiers(subject, extensions);
    verifySelfSignature(wholeOf(info), signed, publicKey);
    return { identifiers, publicKey: keyDigest(publicKeyInfo) };
  } catch (error) {
    if (error instanceof IssuanceError) throw error;
    // The client sent the bytes that the reader or OpenSSL stumbled over.
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

const sha384 = (data: string | Buffer): string => hash('sha384', data);

/** The fields of a CertificationRequest (RFC 2986 section 4). */
type Request = {
  /** What is signed. */
  info: Der;
  subject: Der;
  publicKeyInfo: Der;
  attributes: Der[];
  algorithm: Der;
  signature: Der;
};

function decodeRequest(der: Buffer): Request {
  const request = expectTag(readDer(der), Tag.sequence);
  if (request.end !== der.length) refuse('the CSR is followed by other bytes');
  const [info, algorithm, signature, ...more] = request.parts;
  const [version, subject, publicKeyInfo, attributes, ...rest] = expectTag(info, Tag.sequence).parts;
  expectTag(version, Tag.integer);
  // A name must not hide in what no reader expects.
  if (more.length > 0 || rest.length > 0) throw new Error('unexpected elements');
  return {
    info: info as Der,
    subject: expectTag(subject, Tag.sequence),
    publicKeyInfo: expectTag(publicKeyInfo, Tag.sequence),
    // Some tools leave the attributes away where there are none.
    attributes: attributes ? expectTag(attributes, CONTEXT_SPECIFIC | CONSTRUCTED).parts : [],
    algorithm: expectTag(algorithm, Tag.sequence),
    signature: expectTag(signature, Tag.bitString),
  };
}

/** The content of each extension that a CSR asks for, by its OID. */
type RequestedExtensions = Map<string, Der>;

/** PKCS #9 extensionRequest (RFC 2985 section 5.4.2) and Microsoft's older name for the same. */
const extensionRequests = ['1.2.840.113549.1.9.14', '1.3.6.1.4.1.311.2.1.14'];
const basicConstraints = '2.5.29.19';
const subjectAltName = '2.5.29.17';

function readRequestedExtensions(attributes: Der[]): RequestedExtensions {
  const extensions: RequestedExtensions = new Map();
  for (const extension of attributes.flatMap(readExtensionRequest)) {
    const [id, ...fields] = expectTag(extension, Tag.sequence).parts;
    const name = readOid(id);
    // Readers differ in which of two extensions they take.
    if (extensions.has(name)) refuse(`the CSR asks for extension ${name} twice`);
    if (fields.length === 2) expectTag(fields.shift(), Tag.boolean); // whether it is critical
    if (fields.length !== 1) throw new Error('unexpected elements');
    extensions.set(name, decodeExtension(name, expectTag(fields[0], Tag.octetString)));
  }
  return extensions;
}

/** The extensions in an attribute that asks for some; none in any other. */
function readExtensionRequest(attribute: Der): Der[] {
  const [type, values, ...more] = expectTag(attribute, Tag.sequence).parts;
  const lists = expectTag(values, Tag.set).parts;
  if (more.length > 0) throw new Error('unexpected elements');
  if (!extensionRequests.includes(readOid(type))) return [];
  if (lists.some(({ tag }) => tag !== Tag.sequence)) refuse('the requested extensions are malformed');
  return lists.flatMap(({ parts }) => parts);
}

function decodeExtension(id: string, value: Der): Der {
  const malformed = `the requested extension ${id} is malformed`;
  const content = contentOf(value);
  try {
    const extension = readDer(content);
    return extension.end === content.length ? extension : refuse(malformed);
  } catch (error) {
    throw new IssuanceError('badCsr', malformed, { cause: error });
  }
}

function refuseCertificateAuthority(extensions: RequestedExtensions): void {
  const value = extensions.get(basicConstraints);
  const [first] = value ? expectTag(value, Tag.sequence).parts : [];
  if (first?.tag === Tag.boolean && contentOf(first)[0] !== 0) refuse('the CSR asks for CA:TRUE');
}

const commonName = '2.5.4.3';
const mostNames = 100;

/** The tags of GeneralName (RFC 5280 section 4.2.1.6) in words; only 2 and 7 are accepted. */
const kinds = ['other', 'e-mail', 'DNS', 'X.400', 'directory', 'EDI party', 'URI', 'IP', 'registered ID'];

function collectIdentifiers(subject: Der, extensions: RequestedExtensions): Identifier[] {
  const alternatives = readAlternativeNames(extensions.get(subjectAltName));
  const common = readCommonName(subject, alternatives);
  const distinct = new Map([...common, ...alternatives].map(name => [keyOf(name), name]));
  if (distinct.size === 0) refuse('the CSR names no host');
  if (distinct.size > mostNames) refuse(`the CSR has ${distinct.size} names; at most ${mostNames} are taken`);
  return [...distinct.values()];
}

function readAlternativeNames(extension: Der | undefined): Identifier[] {
  if (!extension) return [];
  if (extension.tag !== Tag.sequence) refuse('the subject alternative names are malformed');
  return extension.parts.map(readAlternativeName);
}

function readAlternativeName(name: Der): Identifier {
  const kind = (name.tag & CLASS) === CONTEXT_SPECIFIC ? name.tag & NUMBER : -1;
  if (kind !== 2 && kind !== 7)
    refuse(`names of kind ${kinds[kind] ?? 'unknown'} are not accepted, only DNS and IP`);
  if (name.tag & CONSTRUCTED) refuse('a subject alternative name is malformed');
  const bytes = contentOf(name);
  if (kind === 2) return { type: 'dns', value: parseDnsName(bytes.toString()) };
  const value = addressFromBytes(bytes);
  if (value === undefined) refuse('an IP name does not hold an IPv4 or an IPv6 address');
  return { type: 'ip', value };
}

/** At most one name: a CN that is meant for people ("My server") does not count. */
function readCommonName(subject: Der, alternatives: Identifier[]): Identifier[] {
  const texts = subject.parts
    .flatMap(({ tag, parts }) => (tag === Tag.set ? parts : refuse('the subject is malformed')))
    .map(attribute => expectTag(attribute, Tag.sequence).parts)
    .filter(([type]) => readOid(type) === commonName)
    .map(([, value]) => textOf(value));
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

/** The strings of X.509 (RFC 5280 section 4.1.2.4) and their kin, by their tags. */
const strings: Record<number, (bytes: Buffer) => string> = {
  12: bytes => bytes.toString(),
  18: bytes => bytes.toString('latin1'),
  19: bytes => bytes.toString('latin1'),
  20: bytes => bytes.toString('latin1'),
  22: bytes => bytes.toString('latin1'),
  26: bytes => bytes.toString('latin1'),
  28: bytes => toText(bytes, 4),
  30: bytes => toText(bytes, 2),
};

/** UniversalString and BMPString: big-endian numbers of characters. */
function toText(bytes: Buffer, size: number): string {
  if (bytes.length % size !== 0) throw new Error('a part of a character is missing');
  const numbers = Array.from({ length: bytes.length / size }, (_, at) => bytes.readUIntBE(at * size, size));
  return numbers.map(number => String.fromCodePoint(number)).join('');
}

function textOf(value: Der | undefined): string {
  const read = strings[value?.tag ?? 0];
  return value && read ? read(contentOf(value)) : refuse('the common name is not text');
}

const keyOf = ({ type, value }: Identifier) => `${type}:${value}`;
