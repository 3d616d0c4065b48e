import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  sign,
  type VerifyKeyObjectInput,
  verify,
} from 'node:crypto';
import { promisify } from 'node:util';
import { IssuanceError } from '../base/basics.ts';
import { encodePem } from './certificate.ts';
import {
  CONSTRUCTED,
  CONTEXT_SPECIFIC,
  contentOf,
  type Der,
  expectTag,
  readDer,
  readOid,
  Tag,
  wholeOf,
} from './der.ts';

const curves = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
]);

export type KeyType = 'P-256' | 'P-384' | 'RSA-2048' | 'RSA-3072' | 'RSA-4096';

/** A new private key, as PKCS#8 PEM (RFC 5958, RFC 7468 section 10) without a password. */
export async function generateKeyPem(type: KeyType): Promise<string> {
  const { privateKey } = type.startsWith('P-')
    ? await promisify(generateKeyPair)('ec', { namedCurve: type })
    : await promisify(generateKeyPair)('rsa', { modulusLength: Number(type.slice('RSA-'.length)) });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Names the kind of a key as `KeyType` does; `P-521` and other lengths of RSA are possible too. */
export function describeKeyType({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): string {
  if (asymmetricKeyType === 'rsa') return `RSA-${details?.modulusLength}`;
  return curves.get(details?.namedCurve ?? '') ?? `${asymmetricKeyType}`;
}

/**
 * Reads the private key in `pem` (RFC 7468: PKCS#8, PKCS#1 or SEC1, no password).
 *
 * @throws Error that says what is wrong with it
 */
export function readPrivateKey(pem: string | Buffer): KeyObject {
  const key = openPrivateKey(pem);
  const fault = findKeyFault(key);
  if (fault) throw new Error(fault);
  return key;
}

function openPrivateKey(pem: string | Buffer): KeyObject {
  // "BEGIN ENCRYPTED PRIVATE KEY", or "Proc-Type: 4,ENCRYPTED" in the older form.
  if (pem.includes('ENCRYPTED')) throw new Error('the private key is encrypted');
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new Error('not a private key in PEM', { cause: error });
  }
}

/** Why a key is not fit for certificates by the CAs' rules, in a few words; undefined when it is. */
function findKeyFault(key: KeyObject): string | undefined {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa')
    return findRsaFault(details?.modulusLength ?? 0, details?.publicExponent);
  if (key.asymmetricKeyType !== 'ec') return 'the key is neither RSA nor EC';
  if (curves.has(details?.namedCurve ?? '')) return undefined;
  return `the key's curve is not one of ${[...curves.values()].join(', ')}`;
}

function findRsaFault(bits: number, exponent: bigint | undefined): string | undefined {
  if (bits < 2048) return `the RSA key has ${bits} bits; at least 2048 are needed`;
  // The cost of checking a signature grows with the square of the length, and a client chooses the length.
  if (bits > 8192) return `the RSA key has ${bits} bits; at most 8192 are taken`;
  if (exponent !== 65537n) return "the RSA key's public exponent is not 65537";
  return undefined;
}

/** Bytes of each of the two numbers that make an EC signature. */
const numberLengths = new Map([
  ['prime256v1', 32],
  ['secp384r1', 48],
  ['secp521r1', 66],
]);

/**
 * Signs as JOSE wants it (RFC 7518 sections 3.3 and 3.4): of an EC key's signature, DER elsewhere, the two
 * numbers one after the other. Node makes and catches an exception for each key that comes with options, as
 * it would for this form; that costs more than the signature.
 */
export function signForJose(hash: string, data: Buffer, key: KeyObject): Buffer {
  const signature = sign(hash, data, key);
  const length = numberLengths.get(key.asymmetricKeyDetails?.namedCurve ?? '');
  if (length === undefined) return signature;
  const zeros = Buffer.alloc(length);
  const numbers = readDer(signature).parts.map(contentOf);
  return Buffer.concat(numbers.map(number => Buffer.concat([zeros, number]).subarray(-length)));
}

const rsaKey = '1.2.840.113549.1.1.1';
const ecKey = '1.2.840.10045.2.1';
const rsaPss = '1.2.840.113549.1.1.10';
const mgf1 = '1.2.840.113549.1.1.8';

/** Signature algorithms by OID (RFC 4055, RFC 5758): the kind of key, and node's name of the hash. */
const algorithms = new Map([
  ['1.2.840.113549.1.1.11', { keyType: 'rsa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { keyType: 'rsa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { keyType: 'rsa', hash: 'sha512' }],
  ['1.2.840.10045.4.3.2', { keyType: 'ec', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { keyType: 'ec', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { keyType: 'ec', hash: 'sha512' }],
]);

const hashes = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

/**
 * Old tools still use these broken hashes. The refusal names the hash, so that people know what to change.
 */
const brokenHashes = new Map([
  ['1.2.840.113549.1.1.2', 'MD2'],
  ['1.2.840.113549.1.1.4', 'MD5'],
  ['1.2.840.113549.2.5', 'MD5'],
  ['1.2.840.113549.1.1.5', 'SHA-1'],
  ['1.3.14.3.2.29', 'SHA-1'],
  ['1.2.840.10045.4.1', 'SHA-1'],
  ['1.3.14.3.2.26', 'SHA-1'],
]);

/**
 * Reads a CSR's key and refuses with `badCsr` one that CAs do not certify.
 *
 * @param info its SubjectPublicKeyInfo (RFC 5280 section 4.1)
 */
export function readPublicKey(info: Der): KeyObject {
  const [algorithm, key, ...more] = info.parts;
  const [id, parameters] = expectTag(algorithm, Tag.sequence).parts;
  expectTag(key, Tag.bitString);
  if (more.length > 0) throw new Error('unexpected elements');
  const type = readOid(id);
  if (type !== rsaKey && type !== ecKey) refuse('the key is neither RSA nor EC');
  // OpenSSL also takes a curve spelled out in full and gives it the name it resembles; CAs do not (RFC 5480).
  if (type === ecKey && parameters?.tag !== Tag.oid) refuse('the EC key does not name its curve');
  const opened = openPublicKey(wholeOf(info));
  const fault = findKeyFault(opened);
  if (fault) refuse(fault);
  return opened;
}

/**
 * Refuses with `badCsr` a CSR whose sender does not hold the private key (RFC 2986 section 3).
 *
 * @param info what is signed
 */
export function verifySelfSignature(
  info: Buffer,
  { algorithm, signature }: { algorithm: Der; signature: Der },
  key: KeyObject,
): void {
  const { hash, ...how } = readAlgorithm(algorithm, key);
  // Node makes and catches an exception for each key that comes with options.
  const by = how.padding === undefined ? key : { key, ...how };
  if (!verify(hash, info, by, contentOf(signature).subarray(1)))
    refuse("the CSR's signature does not verify");
}

type Algorithm = { hash: string } & Omit<VerifyKeyObjectInput, 'key'>;

function readAlgorithm(algorithm: Der, key: KeyObject): Algorithm {
  const [type, parameters, ...more] = algorithm.parts;
  const id = readOid(type);
  if (more.length > 0) throw new Error('unexpected elements');
  refuseBrokenHash(id);
  if (id === rsaPss && key.asymmetricKeyType === 'rsa') return readPss(expectTag(parameters, Tag.sequence));
  const known = algorithms.get(id);
  if (known?.keyType !== key.asymmetricKeyType)
    refuse(`signature algorithm ${id} is not supported for this key`);
  return { hash: known?.hash ?? '' };
}

const sha1 = '1.3.14.3.2.26';

/** RSASSA-PSS-params (RFC 4055 section 3.1), whose fields stand behind a tag each or are left away. */
function readPss({ parts }: Der): Algorithm {
  const field = (number: number) =>
    parts.find(({ tag }) => tag === (CONTEXT_SPECIFIC | CONSTRUCTED | number))?.parts[0];
  const id = idOf(field(0)) ?? sha1;
  refuseBrokenHash(id);
  const hash = hashes.get(id);
  // Node checks only the usual form, MGF1 with the same hash, which RFC 4055 section 3.1 advises too.
  const mask = field(1);
  const saltLength = field(2);
  if (hash === undefined || idOf(mask) !== mgf1 || idOf(mask?.parts[1]) !== id)
    refuse("the signature's PSS parameters are not supported");
  const salt = saltLength ? contentOf(expectTag(saltLength, Tag.integer)) : Buffer.from([20]);
  if (salt.length > 2) refuse("the signature's PSS parameters are not supported");
  return { hash, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt.readUIntBE(0, salt.length) };
}

/** Of an AlgorithmIdentifier. */
const idOf = (algorithm: Der | undefined) =>
  algorithm && readOid(expectTag(algorithm, Tag.sequence).parts[0]);

function openPublicKey(der: Buffer): KeyObject {
  try {
    return createPublicKey(encodePem('PUBLIC KEY', der)); // of DER, Node makes and catches an exception each
  } catch (error) {
    throw new IssuanceError('badCsr', 'the public key is malformed or on an unknown curve', { cause: error });
  }
}

function refuseBrokenHash(id: string): void {
  const broken = brokenHashes.get(id);
  if (broken) refuse(`the CSR is signed with ${broken}; use SHA-256`);
}

export function refuse(detail: string): never {
  throw new IssuanceError('badCsr', detail);
}
