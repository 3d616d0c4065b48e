import { X509Certificate } from 'node:crypto';
import { addressToBytes, type Identifier, isInside, parseDnsName } from '../base/identifier.ts';
import { readCertificate } from './certificate.ts';
import { decodeCertificate } from './certificate-fields.ts';
import { CONTEXT_SPECIFIC, contentOf, type Der, expectTag, readOid, readWholeDer, Tag } from './der.ts';

/** What the names below a CA may be (RFC 5280 section 4.2.1.10): an encoded name is inside, or it is not. */
type NameConstraint = { kind: 'permitted' | 'excluded'; type: Identifier['type']; base: Buffer };

/** A certificate as one link of a chain, with all that RFC 5280 section 6.1 asks of it. */
export type ChainLink = {
  x509: X509Certificate;
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
  /** The DNS and IP SANs that are well formed. */
  identifiers: Identifier[];
  /** SubjectPublicKeyInfo, DER. */
  publicKey: Buffer;
  /** Whether it may sign certificates. */
  isCa: boolean;
  /** How many CAs may stand between it and the leaf. */
  pathLength: number;
  /** OIDs of what its key may be used for; undefined where nothing is said. */
  purposes: string[] | undefined;
  constraints: NameConstraint[];
  /** Why it can be no link below a trusted one, in words to follow its name. */
  fault: string | undefined;
};

const oids = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  /** Which policies it was issued under decides nothing here. */
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
};

/** ECDSA and RSA (PKCS #1) with SHA-256 to SHA-512, and Ed25519 and Ed448. */
const soundSignatures = new Set([
  ...['1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'],
  ...['1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13'],
  ...['1.3.101.112', '1.3.101.113'],
]);

/** @throws Error when it is no certificate in DER */
export function readLink(der: Buffer): ChainLink {
  const x509 = new X509Certificate(der);
  const { notBefore, notAfter, identifiers, publicKey } = readCertificate(der);
  const { signature, extensions } = decodeCertificate(der);
  const found = extensions.map(readExtension);
  const read = (id: string) => {
    const extension = found.find(one => one.id === id);
    return extension && readWholeDer(contentOf(extension.value));
  };
  const [isCa, pathLength] = readBasicConstraints(read(oids.basicConstraints));
  return {
    x509,
    notBefore,
    notAfter,
    identifiers: identifiers.filter(isWellFormed),
    publicKey,
    isCa: isCa && mayUse(read(oids.keyUsage), KEY_CERT_SIGN),
    pathLength,
    purposes: read(oids.extendedKeyUsage)?.parts.map(readOid),
    constraints: readNameConstraints(read(oids.nameConstraints)),
    fault: findFault(x509, signature, found),
  };
}

type Extension = { id: string; isCritical: boolean; value: Der };

/** Throws where it is none. */
export function readExtension({ parts }: Der): Extension {
  const isCritical = parts[1]?.tag === Tag.boolean && contentOf(parts[1])[0] === 0xff;
  return { id: readOid(parts[0]), isCritical, value: expectTag(parts.at(-1), Tag.octetString) };
}

function findFault(x509: X509Certificate, signature: Der, extensions: Extension[]): string | undefined {
  const known = Object.values(oids);
  const strange = extensions.find(({ id, isCritical }) => isCritical && !known.includes(id));
  if (strange) return `has a critical extension that is not known here, ${strange.id}`;
  const ids = extensions.map(({ id }) => id);
  if (new Set(ids).size < ids.length) return 'has an extension twice';
  if (!soundSignatures.has(readOid(signature.parts[0]))) return 'is signed by an algorithm that is not taken';
  return hasSoundKey(x509) ? undefined : 'has a key that is too weak, or of a kind that is not taken';
}

const [FEWEST_BITS, MOST_BITS] = [2048, 8192];

function hasSoundKey({ publicKey }: X509Certificate): boolean {
  const { modulusLength = 0, namedCurve = '' } = publicKey.asymmetricKeyDetails ?? {};
  switch (publicKey.asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= FEWEST_BITS && modulusLength <= MOST_BITS;
    case 'ec':
      return ['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve);
    default:
      return ['ed25519', 'ed448'].includes(publicKey.asymmetricKeyType ?? '');
  }
}

/** A malformed name is nobody's. */
function isWellFormed({ type, value }: Identifier): boolean {
  try {
    return type === 'ip' || parseDnsName(value) === value;
  } catch {
    return false;
  }
}

function readBasicConstraints(value: Der | undefined): [isCa: boolean, pathLength: number] {
  if (!value) return [false, 0];
  const [flag, length] = expectTag(value, Tag.sequence).parts;
  const isCa = flag?.tag === Tag.boolean && contentOf(flag)[0] === 0xff;
  if (!length) return [isCa, Number.POSITIVE_INFINITY];
  return [isCa, contentOf(expectTag(length, Tag.integer)).readUIntBE(0, 1)];
}

/** RFC 5280 section 4.2.1.3. */
const KEY_CERT_SIGN = 5;

/** Bits are numbered from the most significant one of the first byte. */
function mayUse(value: Der | undefined, bit: number): boolean {
  if (!value) return true;
  const [, ...bytes] = contentOf(expectTag(value, Tag.bitString));
  return ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0;
}

const [DNS_NAME, IP_ADDRESS] = [CONTEXT_SPECIFIC | 2, CONTEXT_SPECIFIC | 7];

/** Constraints of other kinds of names need not be kept, as no other names are looked at. */
function readNameConstraints(value: Der | undefined): NameConstraint[] {
  if (!value) return [];
  return expectTag(value, Tag.sequence).parts.flatMap(({ tag, parts }) => {
    const kind = (tag & 0x1f) === 0 ? 'permitted' : 'excluded';
    return parts.flatMap((subtree): NameConstraint[] => {
      const [base] = subtree.parts;
      if (base?.tag === DNS_NAME) return [{ kind, type: 'dns', base: contentOf(base) }];
      return base?.tag === IP_ADDRESS ? [{ kind, type: 'ip', base: contentOf(base) }] : [];
    });
  });
}

/** Whether all names may stand below a CA with these constraints. */
export function permits(constraints: readonly NameConstraint[], identifiers: readonly Identifier[]): boolean {
  return identifiers.every(identifier => {
    const ofType = constraints.filter(({ type }) => type === identifier.type);
    const permitted = ofType.filter(({ kind }) => kind === 'permitted');
    if (permitted.length > 0 && !permitted.some(one => covers(one, identifier))) return false;
    return !ofType.some(one => one.kind === 'excluded' && covers(one, identifier));
  });
}

function covers({ base }: NameConstraint, { type, value }: Identifier): boolean {
  if (type === 'ip') return coversAddress(base, addressToBytes(value));
  const domain = base.toString('latin1').toLowerCase();
  // OpenSSL and others read a dot in front as: the names below alone.
  return domain.startsWith('.') ? value.endsWith(domain) : isInside(value, domain);
}

/** An address and a mask, of the same length. */
function coversAddress(base: Buffer, address: Buffer): boolean {
  if (base.length !== 2 * address.length) return false;
  return address.every((byte, at) => {
    const mask = base[address.length + at] as number;
    return (byte & mask) === ((base[at] as number) & mask);
  });
}
