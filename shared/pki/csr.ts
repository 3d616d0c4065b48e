import { hash } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import {
  addressFromBytes,
  canonicalAddress,
  type Identifier,
  parseDnsName,
  quoteName,
} from '../base/identifier.ts';
import { decodePemBlocks, encodePem } from './certificate.ts';
import type { CsrText, ParsedCsr } from './csr-forms.ts';
import {
  CLASS,
  CONSTRUCTED,
  CONTEXT_SPECIFIC,
  contentOf,
  type Der,
  expectNoMore,
  expectTag,
  NUMBER,
  readName,
  readNatural,
  readOid,
  readShortOid,
  readWholeDer,
  Tag,
  wholeOf,
} from './der.ts';
import { keyDigest, readPublicKey, refuse, verifySelfSignature } from './key.ts';
import { describeOther, LACKS_ATTRIBUTES, MICROSOFT_ALONE, NO_NAME } from './unread-forms.ts';

export type { CsrText, ParsedCsr } from './csr-forms.ts';

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
 * whatever a CA would refuse. Later only `isCsrFor` reads it, to judge again.
 */
export function parseCsr(der: Buffer): ParsedCsr {
  return refusingMalformed(() => {
    const { info, subject, publicKeyInfo, attributes, ...signed } = decodeRequest(der);
    const publicKey = readPublicKey(publicKeyInfo);
    const extensions = readRequestedExtensions(attributes);
    refuseCertificateAuthority(extensions);
    const identifiers = collectIdentifiers(subject, extensions);
    const signature = verifySelfSignature(wholeOf(info), signed, publicKey.key);
    const unusual = publicKey.unusual ?? signature.unusual;
    return { identifiers, publicKey: keyDigest(publicKeyInfo), unusual };
  });
}

/** Whether a CSR names these and no others; its key and its signature are not looked at. Throws `badCsr`. */
export const isCsrFor = (der: Buffer, identifiers: readonly Identifier[]): boolean =>
  refusingMalformed(() => {
    const { subject, attributes } = decodeRequest(der);
    const names = new Set(collectIdentifiers(subject, readRequestedExtensions(attributes)).map(keyOf));
    const asked = new Set(identifiers.map(keyOf));
    return names.size === asked.size && [...names].every(name => asked.has(name));
  });

function refusingMalformed<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof IssuanceError) throw error;
    // The client sent the bytes that the reader or OpenSSL stumbled over.
    const where = error instanceof SyntaxError ? `: ${error.message}` : '';
    return refuse(`the CSR cannot be parsed${where}`, error);
  }
}

function findOnlyCsr(text: string): Buffer {
  try {
    const [first, ...more] = decodePemBlocks(text, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']);
    if (first && more.length === 0) return first.der;
    throw new Error(first ? 'the body holds more than one CSR: post one at a time' : describeOther(text));
  } catch (error) {
    return refuse((error as Error).message, error);
  }
}

const sha384 = (data: string | Buffer): string => hash('sha384', data);

/** The fields of a CertificationRequest (RFC 2986 section 4); `info` is what is signed. */
function decodeRequest(der: Buffer) {
  const [info, algorithm, signature, ...more] = expectTag(readWholeDer(der), Tag.sequence).parts;
  const [version, subject, publicKeyInfo, attributes, ...rest] = expectTag(info, Tag.sequence).parts;
  // A name must not hide in what no reader expects.
  expectNoMore([...more, ...rest]);
  // Tools have long written the version of a certificate there.
  if (readNatural(version) > 2n) refuse('the CSR is of a version that is not known');
  if (!attributes) refuse(LACKS_ATTRIBUTES);
  return {
    info: expectTag(info, Tag.sequence),
    subject: expectTag(subject, Tag.sequence),
    publicKeyInfo: expectTag(publicKeyInfo, Tag.sequence),
    attributes: expectTag(attributes, CONTEXT_SPECIFIC | CONSTRUCTED).parts,
    algorithm: expectTag(algorithm, Tag.sequence),
    signature: expectTag(signature, Tag.bitString),
  };
}

/** The extensions that a CSR asks for, by their OIDs. */
type RequestedExtensions = Map<string, Der>;

/** PKCS #9 extensionRequest (RFC 2985 section 5.4.2). */
const extensionRequest = '1.2.840.113549.1.9.14';
/** Microsoft's older name for the same, which CAs do not read. */
const microsoftRequest = '1.3.6.1.4.1.311.2.1.14';
const basicConstraints = '2.5.29.19';
const subjectAltName = '2.5.29.17';

function readRequestedExtensions(attributes: Der[]): RequestedExtensions {
  const values = new Map<string, Der>();
  for (const attribute of attributes) {
    const [type, set, ...more] = expectTag(attribute, Tag.sequence).parts;
    expectNoMore(more);
    const id = readOid(type);
    if (values.has(id)) refuse(`the CSR has attribute ${id} twice`);
    values.set(id, expectTag(set, Tag.set));
  }
  const asked = readExtensions(values.get(extensionRequest));
  const microsoft = readExtensions(values.get(microsoftRequest));
  if (microsoft.has(subjectAltName) && !asked.has(subjectAltName)) refuse(MICROSOFT_ALONE);
  for (const [id, extension] of microsoft) {
    const other = asked.get(id);
    if (other && !wholeOf(other).equals(wholeOf(extension)))
      refuse(`the CSR asks for extension ${id} in two attributes, and not for the same`);
  }
  return new Map([...microsoft, ...asked]);
}

function readExtensions(values: Der | undefined): RequestedExtensions {
  const extensions: RequestedExtensions = new Map();
  if (!values) return extensions;
  const [list, ...more] = values.parts;
  // Of several lists readers take the first, or all.
  if (list?.tag !== Tag.sequence || more.length > 0) refuse('the requested extensions are not one list');
  for (const extension of list.parts) {
    const [id, ...fields] = expectTag(extension, Tag.sequence).parts;
    const name = readShortOid(id);
    // Readers differ in which of two extensions they take.
    if (extensions.has(name)) refuse(`the CSR asks for extension ${name} twice`);
    if (fields.length > 1) expectTag(fields.shift(), Tag.boolean); // whether it is critical
    expectTag(fields[0], Tag.octetString);
    expectNoMore(fields.slice(1));
    extensions.set(name, extension);
  }
  return extensions;
}

/** What an extension holds, which is to be a SEQUENCE; undefined where it is not asked for. */
function decodeExtension(extensions: RequestedExtensions, id: string): Der[] | undefined {
  const value = extensions.get(id)?.parts.at(-1);
  try {
    return value && expectTag(readWholeDer(contentOf(value)), Tag.sequence).parts;
  } catch (error) {
    return refuse(`the requested extension ${id} is malformed: ${(error as Error).message}`, error);
  }
}

function refuseCertificateAuthority(extensions: RequestedExtensions): void {
  const [first] = decodeExtension(extensions, basicConstraints) ?? [];
  if (first?.tag === Tag.boolean && contentOf(first)[0] !== 0) refuse('the CSR asks for CA:TRUE');
}

const commonName = '2.5.4.3';
const mostNames = 100;

/** The tags of GeneralName (RFC 5280 section 4.2.1.6) in words; only 2 and 7 are accepted. */
const kinds = ['other', 'e-mail', 'DNS', 'X.400', 'directory', 'EDI party', 'URI', 'IP', 'registered ID'];

function collectIdentifiers(subject: Der, extensions: RequestedExtensions): Identifier[] {
  const alternatives = readAlternativeNames(decodeExtension(extensions, subjectAltName) ?? []);
  const common = readCommonName(readCommonNames(subject), alternatives);
  const distinct = new Map([...common, ...alternatives].map(name => [keyOf(name), name]));
  if (distinct.size === 0) refuse(NO_NAME);
  refuseTooMany(distinct.size, 'names');
  return [...distinct.values()];
}

function refuseTooMany(count: number, what: string): void {
  if (count > mostNames) refuse(`the CSR has ${count} ${what}; at most ${mostNames} are taken`);
}

function readAlternativeNames(names: Der[]): Identifier[] {
  const distinct = new Map(names.map(name => [wholeOf(name).toString('latin1'), name]));
  refuseTooMany(distinct.size, 'names'); // before each costs a look
  return [...distinct.values()].map(readAlternativeName);
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

function readCommonNames(subject: Der): string[] {
  const attributes = readName(subject).flat();
  const names = attributes.filter(({ id }) => id === commonName).map(({ text }) => text);
  refuseTooMany(names.length, 'common names');
  return names;
}

/** At most one name: a CN that is meant for people ("My server") does not count. */
function readCommonName(texts: string[], alternatives: Identifier[]): Identifier[] {
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

const keyOf = ({ type, value }: Identifier) => `${type}:${value}`;
