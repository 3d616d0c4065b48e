import { createPublicKey, hash, X509Certificate } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import { canonicalAddress, type Identifier, quoteName } from '../base/identifier.ts';
import {
  CONSTRUCTED,
  CONTEXT_SPECIFIC,
  contentOf,
  type Der,
  expectTag,
  readDer,
  Tag,
  wholeOf,
} from './der.ts';
import type { CertificateLife } from './life.ts';
import { holdsSameKey } from './same-key.ts';

export type Certificate = CertificateLife & {
  /** The DNS and IP SANs. */
  identifiers: Identifier[];
  /** The SubjectPublicKeyInfo, DER. */
  publicKey: Buffer;
  issuer: string;
  /** Hex. */
  serial: string;
};

/** Reads a certificate, of PEM the first in it. Throws an Error when it is damaged. */
export function readCertificate(pemOrDer: string | Buffer): Certificate {
  const certificate = new X509Certificate(pemOrDer);
  const notBefore = certificate.validFromDate.getTime();
  const notAfter = certificate.validToDate.getTime();
  if (Number.isNaN(notBefore + notAfter)) throw new Error('the certificate has no time that can be read');
  return {
    notBefore,
    notAfter,
    identifiers: parseAlternativeNames(certificate.subjectAltName ?? ''),
    publicKey: Buffer.from(wholeOf(decodeCertificate(certificate.raw).publicKeyInfo)),
    issuer: certificate.issuer,
    serial: certificate.serialNumber,
  };
}

/** How people name a certificate: its names, serial and SHA-256 fingerprint, in hex. @param chain its PEM */
export function describeLeaf(chain: string, { identifiers, serial }: Certificate) {
  const der = decodePem(chain, ['CERTIFICATE']);
  const names = identifiers.map(({ value }) => value);
  return { names, serial: serial.toLowerCase(), fingerprint: hash('sha256', der), der };
}

/**
 * Names a public key, however its certificates and CSRs spell it.
 *
 * @param info a SubjectPublicKeyInfo (RFC 5280 section 4.1)
 * @returns SHA-256 in hex of the form that OpenSSL writes: RSA with NULL, points uncompressed
 */
export function keyDigest(info: Der): string {
  const [algorithm, key] = info.parts;
  const parameters = expectTag(algorithm, Tag.sequence).parts[1];
  const isUncompressed = parameters?.tag === Tag.oid && contentOf(expectTag(key, Tag.bitString))[1] === 4;
  const isUsual = parameters?.tag === Tag.null || isUncompressed;
  return hash('sha256', isUsual ? wholeOf(info) : respell(wholeOf(info)));
}

function respell(info: Buffer): Buffer {
  const key = createPublicKey({ key: info, format: 'der', type: 'spki' }).export({ format: 'jwk' });
  return createPublicKey({ key, format: 'jwk' }).export({ format: 'der', type: 'spki' });
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
    const pems = splitChain(text);
    return { pems, leaf: readCertificate(pems[0] ?? '') };
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

/** The fields of a Certificate (RFC 5280 section 4.1) that Node does not give, or only after long. */
export function decodeCertificate(
  der: Buffer,
): Record<'signature' | 'serial' | 'publicKeyInfo', Der> & { extensions: Der[] } {
  const certificate = expectTag(readDer(der), Tag.sequence);
  if (certificate.end !== der.length) throw new Error('the certificate is damaged');
  const fields = [...expectTag(certificate.parts[0], Tag.sequence).parts];
  if (fields[0]?.tag === (CONTEXT_SPECIFIC | CONSTRUCTED)) fields.shift(); // the version
  const extensions = fields.find(({ tag }) => tag === (CONTEXT_SPECIFIC | CONSTRUCTED | 3));
  return {
    signature: expectTag(certificate.parts[1], Tag.sequence),
    serial: expectTag(fields[0], Tag.integer),
    publicKeyInfo: expectTag(fields[5], Tag.sequence),
    extensions: extensions ? expectTag(extensions.parts[0], Tag.sequence).parts : [],
  };
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

/**
 * Reads all blocks in `text` that carry one of `labels`, in order. Throws an Error when one of them is
 * damaged.
 */
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

/**
 * Splits a chain into one PEM for each certificate. Throws an Error when it has no certificate, or a damaged
 * one.
 */
export function splitChain(text: string): string[] {
  const blocks = decodePemBlocks(text, ['CERTIFICATE']);
  if (blocks.length === 0) throw new Error('no PEM block "CERTIFICATE" was found');
  return blocks.map(({ der }) => encodePem('CERTIFICATE', der));
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
