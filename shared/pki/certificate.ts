import { hash } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import { addressFromBytes, type Identifier, quoteName } from '../base/identifier.ts';
import { type Certificate, readByNode } from './certificate-by-node.ts';
import {
  CONSTRUCTED,
  CONTEXT_SPECIFIC,
  contentOf,
  type Der,
  expectNoMore,
  expectTag,
  readBits,
  readName,
  readWholeDer,
  Tag,
  wholeOf,
} from './der.ts';
import { holdsSameKey } from './same-key.ts';

export type { Certificate } from './certificate-by-node.ts';

/** Reads a certificate, of PEM the first in it. Throws an Error when it is damaged. */
export function readCertificate(pemOrDer: string | Buffer): Certificate {
  try {
    return readUsual(typeof pemOrDer === 'string' ? decodePem(pemOrDer, ['CERTIFICATE']) : pemOrDer);
  } catch {
    return readByNode(pemOrDer);
  }
}

const partsOf = (element: Der | undefined) => expectTag(element, Tag.sequence).parts;

/**
 * Reads a certificate as nearly all are (RFC 5280 section 4.1), and as Node does, in a fifth of the time.
 *
 * @throws Error where it is unusual, or damaged
 */
function readUsual(der: Buffer): Certificate {
  const [info, algorithm, signature, ...other] = partsOf(readWholeDer(der));
  const [version, serial, inner, issuer, validity, subject, keyInfo, extensions, ...more] = partsOf(info);
  const [notBefore, notAfter, ...moreTimes] = partsOf(validity);
  const [keyAlgorithm, key, ...moreOfKey] = partsOf(keyInfo);
  expectNoMore([...other, ...more, ...moreTimes, ...moreOfKey]);
  if (!version || !keyInfo || !wholeOf(version).equals(VERSION_3)) throw unusual();
  if (![algorithm, inner, keyAlgorithm].every(isUsualAlgorithm)) throw unusual();
  for (const one of [signature, key]) readBits(one);
  readName(subject);
  return {
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    identifiers: readAlternativeNames(extensions),
    publicKey: Buffer.from(wholeOf(keyInfo)),
    issuer: readName(issuer).map(toLine).join('\n'),
    serial: readSerial(serial),
  };
}

const VERSION_3 = Buffer.from('a003020102', 'hex');
const subjectAltName = Buffer.from('551d11', 'hex'); // 2.5.29.17
const unusual = () => new SyntaxError('the certificate is unusual');

function isUsualAlgorithm(algorithm: Der | undefined): boolean {
  const [id, parameters = Tag.null, ...more] = partsOf(algorithm).map(({ tag }) => tag);
  return id === Tag.oid && (parameters === Tag.null || parameters === Tag.oid) && more.length === 0;
}

function readSerial(serial: Der | undefined): string {
  const hex = contentOf(expectTag(serial, Tag.integer)).toString('hex');
  if (hex === '00' || hex >= '8') throw unusual(); // zero, or below
  return hex.replace(/^00/, '').toUpperCase();
}

/** RFC 5280 section 4.1.2.5. @returns milliseconds since the epoch */
function readTime(time: Der | undefined): number {
  if (time?.tag !== Tag.utcTime && time?.tag !== Tag.generalizedTime) throw unusual();
  const text = contentOf(time).toString('latin1');
  const whole = time.tag === Tag.utcTime ? `${text < '5' ? '20' : '19'}${text}` : text;
  const iso = whole.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z');
  const date = new Date(iso);
  if (iso === whole || date.toISOString() !== iso) throw unusual();
  return date.getTime();
}

/** Of attributes whose OIDs begin with 2.5.4, by the number that follows. */
const attributes: Record<string, string> = { 3: 'CN', 6: 'C', 7: 'L', 8: 'ST', 10: 'O', 11: 'OU' };

/** Takes nothing that Node would escape. */
function toLine([attribute, ...more]: ReturnType<typeof readName>[number]): string {
  const { id = '', text = '' } = attribute ?? {};
  const name = attributes[id.replace(/^2\.5\.4\./, '')];
  if (!name || more.length > 0 || !/^[\w'()-]([\w '().-]*[\w'().-])?$/.test(text)) throw unusual();
  return `${name}=${text}`;
}

function readAlternativeNames(extensions: Der | undefined): Identifier[] {
  const [list, ...more] = expectTag(extensions, CONTEXT_SPECIFIC | CONSTRUCTED | 3).parts;
  const [names, ...others] = partsOf(list).flatMap(extension => {
    const [id, ...fields] = partsOf(extension);
    const value = expectTag(fields.pop(), Tag.octetString);
    if (fields.length > 0) expectTag(fields.pop(), Tag.boolean); // whether it is critical
    expectNoMore(fields);
    return contentOf(expectTag(id, Tag.oid)).equals(subjectAltName) ? [value] : [];
  });
  expectNoMore([...more, ...others]);
  return names ? partsOf(readWholeDer(contentOf(names))).map(readAlternativeName) : [];
}

function readAlternativeName(name: Der): Identifier {
  const bytes = contentOf(name);
  const text = bytes.toString('latin1');
  if (name.tag === (CONTEXT_SPECIFIC | 2) && /^[\w*.-]+$/.test(text))
    return { type: 'dns', value: text.toLowerCase() };
  const value = name.tag === (CONTEXT_SPECIFIC | 7) ? addressFromBytes(bytes) : undefined;
  if (value === undefined) throw unusual();
  return { type: 'ip', value };
}

/** How people name a certificate: its names, serial and SHA-256 fingerprint, in hex. @param chain its PEM */
export function describeLeaf(chain: string, { identifiers, serial }: Certificate) {
  const der = decodePem(chain, ['CERTIFICATE']);
  const names = identifiers.map(({ value }) => value);
  return { names, serial: serial.toLowerCase(), fingerprint: hash('sha256', der), der };
}

/**
 * Whether the CSR holds the certificate's key. As a rule the key's bytes are found in it, which spares the
 * parse. A client that writes a foreign public key elsewhere into its own CSR gets nothing but a certificate
 * it cannot use.
 */
export function certifiesKey({ publicKey }: Pick<Certificate, 'publicKey'>, csrDer: Buffer): boolean {
  return csrDer.includes(publicKey) || holdsSameKey(csrDer, publicKey);
}

/** A chain as PEM, leaf first, and what its leaf says. */
export type AcceptedChain = { pems: string[]; leaf: Certificate };

/** What a certificate was ordered for. */
type OrderedFor = {
  /** All of them have to be in it. */
  identifiers: readonly Identifier[];
  /** DER. */
  csr: Buffer;
  /** Whether it may hold a name besides: some CAs add the domain's own, or `www.`. */
  mayHold: (other: Identifier) => boolean;
};

/**
 * Takes a chain from a CA, which may be damaged or lie.
 *
 * @param now milliseconds since the epoch
 * @throws IssuanceError `unavailable` when it is no chain, as it may come whole the next time; `unexpected`
 *   when it is not the certificate that was ordered
 */
export function acceptChain(text: string, wanted: OrderedFor, now: number): AcceptedChain {
  const chain = readChain(text);
  const fault = findFault(chain.leaf, wanted, now);
  if (fault === undefined) return chain;
  throw new IssuanceError('unexpected', `the CA sent a certificate that ${fault}`);
}

function readChain(text: string): AcceptedChain {
  try {
    const ders = decodeChain(text);
    return { pems: ders.map(toPem), leaf: readCertificate(ders[0] ?? '') };
  } catch (error) {
    throw new IssuanceError('unavailable', 'the CA sent a damaged certificate chain', { cause: error });
  }
}

/** Milliseconds by which clocks may differ. */
const SKEW = 3_600_000;

/** Words to follow the certificate. */
function findFault(leaf: Certificate, wanted: OrderedFor, now: number): string | undefined {
  if (!certifiesKey(leaf, wanted.csr)) return "is not for the CSR's key";
  const toText = ({ type, value }: Identifier) => `${type} ${value}`;
  const held = new Set(leaf.identifiers.map(toText));
  const missing = wanted.identifiers.find(one => !held.delete(toText(one)));
  if (missing) return `does not hold ${missing.value}`;
  const other = leaf.identifiers.find(one => held.has(toText(one)) && !wanted.mayHold(one));
  if (other) return `also holds ${quoteName(other.value)}, which was not ordered`;
  const { notBefore, notAfter } = leaf;
  if (notBefore - SKEW <= now && now < notAfter) return undefined;
  return `is valid from ${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
}

// PEM (RFC 7468): this reader is lax about text around the base64 and strict about the base64 itself.

type PemBlock = { label: string; der: Buffer };

const begin = /^-----BEGIN ([A-Z0-9 ]{1,64})-----$/;

/**
 * Reads the first block in `text` that carries one of `labels` into DER. Line ends, blank lines and text
 * around the block do not matter. Throws an Error when there is no such block, or when its content is not
 * base64.
 */
export function decodePem(text: string, labels: readonly string[]): Buffer {
  const [first] = readPemBlocks(text, labels); // and not the others, of which a chain has some
  if (!first) throw new Error(`no PEM block "${labels.join('" or "')}" was found`);
  return first.der;
}

/** Reads all blocks in `text` with one of `labels`, in order. Throws an Error when one of them is damaged. */
export const decodePemBlocks = (text: string, labels: readonly string[]): PemBlock[] => [
  ...readPemBlocks(text, labels),
];

function* readPemBlocks(text: string, labels: readonly string[]): Generator<PemBlock, void> {
  const lines = text.split(/\r\n|\r|\n/).map(line => line.trim());
  for (let at = 0; at < lines.length; at++) {
    const label = begin.exec(lines[at] ?? '')?.[1];
    if (label === undefined || !labels.includes(label)) continue;
    const end = lines.indexOf(`-----END ${label}-----`, at);
    if (end < 0) throw new Error(`the PEM block "${label}" does not end`);
    yield { label, der: decodeBase64(lines.slice(at + 1, end).join('')) };
    at = end;
  }
}

/** Writes the block as `openssl` prints it: 64 columns, LF, a final newline. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** Splits a chain into one PEM for each certificate. Throws an Error when it has none, or a damaged one. */
export const splitChain = (text: string): string[] => decodeChain(text).map(toPem);

const toPem = (der: Buffer) => encodePem('CERTIFICATE', der);

function decodeChain(text: string): Buffer[] {
  const blocks = decodePemBlocks(text, ['CERTIFICATE']);
  if (blocks.length === 0) throw new Error('no PEM block "CERTIFICATE" was found');
  return blocks.map(({ der }) => der);
}

/** Joins certificate PEMs in their order (leaf first), with a blank line between them and a final newline. */
export function joinChain(pems: readonly string[]): string {
  return `${pems.map(pem => pem.trim()).join('\n\n')}\n`;
}

function decodeBase64(base64: string): Buffer {
  const der = Buffer.from(base64, 'base64');
  // Buffer skips characters that are not base64, so only a round trip shows whether all of the text was.
  if (der.length === 0 || der.toString('base64') !== base64)
    throw new Error('the PEM block does not hold valid base64');
  return der;
}
