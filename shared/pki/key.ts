import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
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

/** The names that people and Node have for a curve, and the bytes of one of its numbers. */
const curves = [
  { oid: '1.2.840.10045.3.1.7', name: 'P-256', node: 'prime256v1', length: 32 },
  { oid: '1.3.132.0.34', name: 'P-384', node: 'secp384r1', length: 48 },
  { oid: '1.3.132.0.35', name: 'P-521', node: 'secp521r1', length: 66 },
];

/**
 * Signs as JOSE wants it (RFC 7518 sections 3.3 and 3.4): of an EC key's signature, DER elsewhere, the two
 * numbers one after the other. Node makes and catches an exception for each key that comes with options, as
 * it would for this form; that costs more than the signature.
 */
export function signForJose(hash: string, data: Buffer, key: KeyObject): Buffer {
  const signature = sign(hash, data, key);
  const curve = curves.find(({ node }) => node === key.asymmetricKeyDetails?.namedCurve);
  if (!curve) return signature;
  const zeros = Buffer.alloc(curve.length);
  const numbers = readDer(signature).parts.map(contentOf);
  return Buffer.concat(numbers.map(number => Buffer.concat([zeros, number]).subarray(-curve.length)));
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

// Keys whose private part can be computed.

const primes = Array.from({ length: 750 }, (_, at) => at + 2).filter(isPrime);

function isPrime(number: number): boolean {
  for (let by = 2; by * by <= number; by++) if (number % by === 0) return false;
  return true;
}

/** The powers of 65537 modulo each of the odd primes up to 167. */
const infineonPowers = primes
  .filter(prime => prime > 2 && prime <= 167)
  .map(prime => {
    const powers = new Set<number>();
    for (let power = 1; !powers.has(power); power = (power * 65537) % prime) powers.add(power);
    return { prime, powers };
  });

/** Why an RSA key's modulus can be factored, in a few words. */
function findWeakness(n: bigint): string | undefined {
  const residues = residuesOf(n);
  const factor = primes.find(prime => residues.get(prime) === 0);
  if (factor !== undefined) return `${factor} divides its modulus`;
  // Nemec and others: The Return of Coppersmith's Attack (2017), section 4.1: primes of this library are such
  // powers modulo a product of small primes, and so is what two of them make.
  if (infineonPowers.every(({ prime, powers }) => powers.has(residues.get(prime) ?? 0)))
    return 'it was made by the faulty library of CVE-2017-15361 (ROCA)';
  return areCloseFactors(n) ? 'its two primes are too close to each other (CVE-2022-26320)' : undefined;
}

/** Modulo each prime. A division of a long number costs much, and the product of five primes is exact. */
function residuesOf(n: bigint): Map<number, number> {
  const residues = new Map<number, number>();
  for (let at = 0; at < primes.length; at += 5) {
    const five = primes.slice(at, at + 5);
    const rest = Number(n % BigInt(five.reduce((product, prime) => product * prime)));
    for (const prime of five) residues.set(prime, rest % prime);
  }
  return residues;
}

const FERMAT_ROUNDS = 100;
/** Modulo each of these few numbers are squares. */
const sieves = [64, 63, 65, 11, 17, 19, 23, 31].map(modulus => ({
  modulus,
  squares: new Set(Array.from({ length: modulus }, (_, root) => (root * root) % modulus)),
}));
const sieveProduct = sieves.reduce((product, { modulus }) => product * BigInt(modulus), 1n);

/** Fermat's method: n is a² - b², where a is half way between its factors: close ones are found soon. */
function areCloseFactors(n: bigint): boolean {
  const root = squareRoot(n);
  const first = root * root === n ? root : root + 1n;
  const [firstRest, rest] = [Number(first % sieveProduct), Number(n % sieveProduct)];
  for (let round = 0; round < FERMAT_ROUNDS; round++) {
    const maybe = sieves.every(({ modulus, squares }) => {
      const a = (firstRest + round) % modulus;
      return squares.has((a * a + modulus - (rest % modulus)) % modulus);
    });
    if (maybe && isSquare((first + BigInt(round)) ** 2n - n)) return true;
  }
  return false;
}

const isSquare = (number: bigint) => squareRoot(number) ** 2n === number;

/** The greatest integer whose square is not above `n`: Newton's method, twice the digits with each step. */
function squareRoot(n: bigint): bigint {
  if (n < 4n) return n === 0n ? 0n : 1n;
  const half = (n.toString(2).length - 1) >> 1;
  let [root, bits] = [1n, 0];
  for (let step = half.toString(2).length - 1; step >= 0; step--) {
    const before = bits;
    bits = half >> step;
    root = (root << BigInt(bits - before - 1)) + (n >> BigInt(2 * half - before - bits + 1)) / root;
  }
  return root * root > n ? root - 1n : root;
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
