import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import { encodePem } from './certificate.ts';
import {
  contentOf,
  type Der,
  expectNoMore,
  expectTag,
  readBits,
  readDer,
  readNatural,
  readOid,
  readWholeDer,
  Tag,
  wholeOf,
} from './der.ts';
import { readOtherAlgorithm, type SignatureAlgorithm } from './other-signatures.ts';
import { COMPRESSED_POINT, LACKS_NULL } from './unread-forms.ts';
import { findWeakness } from './weak-rsa.ts';

/** Each with the algorithm of JOSE that signs with it, and the bytes of one of its numbers. */
const curves = [
  { oid: '1.2.840.10045.3.1.7', name: 'P-256', alg: 'ES256', length: 32 },
  { oid: '1.3.132.0.34', name: 'P-384', alg: 'ES384', length: 48 },
  { oid: '1.3.132.0.35', name: 'P-521', alg: 'ES512', length: 66 },
];

/**
 * Signs as JOSE wants it (RFC 7518 sections 3.3 and 3.4): of an EC key's signature, DER elsewhere, the two
 * numbers one after the other. Node makes and catches an exception for each key that comes with options, as
 * it would for this form; that costs more than the signature.
 *
 * @param alg that fits the key, such as `ES256`
 */
export function signForJose(alg: string, data: Buffer, key: KeyObject): Buffer {
  const signature = sign(`sha${alg.slice(2)}`, data, key);
  const curve = curves.find(one => one.alg === alg);
  if (!curve) return signature;
  const numbers = Buffer.alloc(2 * curve.length);
  let to = 0;
  for (const { bytes, from, end } of readDer(signature).parts) {
    to += curve.length;
    const size = Math.min(end - from, curve.length); // a zero may stand before them
    bytes.copy(numbers, to - size, end - size, end);
  }
  return numbers;
}

/** What CAs say of a key, in a few words. */
type Verdict = {
  /** Why none certifies it. */
  fault?: string | undefined;
  /** Why only a CA does that takes more keys than the public ones. */
  unusual?: string | undefined;
};

/**
 * Judges a key as Let's Encrypt does (Boulder's package goodkey, after the Baseline Requirements, section
 * 6.1.6). Whether an EC point is on its curve shows when the key is opened.
 *
 * @param info its SubjectPublicKeyInfo (RFC 5280 section 4.1)
 * @throws SyntaxError where it is malformed
 */
export function judgeKey(info: Der): Verdict {
  const [algorithm, key, ...more] = info.parts;
  const [id, parameters, ...others] = expectTag(algorithm, Tag.sequence).parts;
  expectNoMore([...more, ...others]);
  const bytes = readBits(key);
  switch (readOid(id)) {
    case '1.2.840.113549.1.1.1': // RFC 3279
      return parameters?.tag === Tag.null ? judgeRsaKey(bytes) : { fault: LACKS_NULL };
    case '1.2.840.10045.2.1': // RFC 5480
      return judgeEcKey(parameters, bytes);
    default:
      return { fault: 'the key is neither RSA nor EC' };
  }
}

function judgeEcKey(parameters: Der | undefined, point: Buffer): Verdict {
  // OpenSSL also takes a curve spelled out in full and gives it the name it resembles; CAs do not (RFC 5480).
  if (parameters?.tag !== Tag.oid) return { fault: 'the EC key does not name its curve' };
  const id = readOid(parameters);
  const curve = curves.find(({ oid }) => oid === id);
  if (!curve) return { fault: "the key's curve is not one of P-256, P-384, P-521" };
  if (point[0] === 2 || point[0] === 3) return { fault: COMPRESSED_POINT };
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.length) return { fault: 'the EC key is malformed' };
  return { unusual: curve.name === 'P-521' ? "the key's curve is P-521; take P-256 or P-384" : undefined };
}

const [FEWEST_BITS, USUAL_BITS, MOST_BITS] = [2048, 4096, 8192];
/** Go takes no greater one. */
const GREATEST_EXPONENT = 2n ** 31n - 1n;

function judgeRsaKey(bytes: Buffer): Verdict {
  const [modulus, exponent, ...more] = expectTag(readWholeDer(bytes), Tag.sequence).parts;
  expectNoMore(more);
  const [n, e] = [readNatural(modulus), readNatural(exponent)];
  const bits = n.toString(2).length;
  const has = `the RSA key has ${bits} bits`;
  if (bits < FEWEST_BITS) return { fault: `${has}; at least ${FEWEST_BITS} are needed` };
  // The cost of checking a signature grows with the square of the length, and a client chooses the length.
  if (bits > MOST_BITS) return { fault: `${has}; at most ${MOST_BITS} are taken` };
  if (e % 2n === 0n || e < 65537n || e > GREATEST_EXPONENT)
    return { fault: "the RSA key's public exponent is not 65537" };
  const fault = findWeakness(n);
  if (fault) return { fault: `the RSA key is weak: ${fault}. Make a new key` };
  if (bits > USUAL_BITS) return { unusual: `${has}; at most ${USUAL_BITS} are taken` };
  if (bits % 8 !== 0) return { unusual: `${has}, which is no multiple of 8` };
  return { unusual: e === 65537n ? undefined : "the RSA key's public exponent is not 65537" };
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

/** Signature algorithms by OID (RFC 4055, RFC 5758): the kind of key, and node's name of the hash. */
const algorithms = new Map([
  ['1.2.840.113549.1.1.11', { keyType: 'rsa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { keyType: 'rsa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { keyType: 'rsa', hash: 'sha512' }],
  ['1.2.840.10045.4.3.2', { keyType: 'ec', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { keyType: 'ec', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { keyType: 'ec', hash: 'sha512' }],
]);

/**
 * Reads a CSR's key and refuses with `badCsr` one that no CA certifies.
 *
 * @param info its SubjectPublicKeyInfo (RFC 5280 section 4.1)
 * @returns `unusual`: why only a CA certifies it that takes more keys than the public ones
 */
export function readPublicKey(info: Der): { key: KeyObject; unusual: string | undefined } {
  const { fault, unusual } = judgeKey(info);
  if (fault) refuse(fault);
  return { key: openPublicKey(wholeOf(info)), unusual };
}

function openPublicKey(der: Buffer): KeyObject {
  try {
    return createPublicKey(encodePem('PUBLIC KEY', der)); // of DER, Node makes and catches an exception each
  } catch (error) {
    throw new IssuanceError('badCsr', 'the public key is malformed, or not on its curve', { cause: error });
  }
}

/**
 * Refuses with `badCsr` a CSR whose sender does not hold the private key (RFC 2986 section 3).
 *
 * @param info what is signed
 * @returns `unusual`, as `readPublicKey` does
 */
export function verifySelfSignature(
  info: Buffer,
  { algorithm, signature }: { algorithm: Der; signature: Der },
  key: KeyObject,
): { unusual: string | undefined } {
  const { hash, unusual, ...how } = readAlgorithm(algorithm, key);
  // Node makes and catches an exception for each key that comes with options.
  const by = how.padding === undefined ? key : { key, ...how };
  if (!verify(hash, info, by, readBits(signature))) refuse("the CSR's signature does not verify");
  return { unusual };
}

function readAlgorithm(algorithm: Der, key: KeyObject): SignatureAlgorithm {
  const [type, parameters, ...more] = algorithm.parts;
  expectNoMore(more);
  const id = readOid(type);
  const known = algorithms.get(id);
  if (!known) return readOtherAlgorithm(id, parameters, key);
  if (known.keyType !== key.asymmetricKeyType) refuse(`signature algorithm ${id} is not for this key`);
  if (parameters) expectTag(parameters, Tag.null);
  return { hash: known.hash };
}

export function refuse(detail: string, cause?: unknown): never {
  throw new IssuanceError('badCsr', detail, { cause });
}
