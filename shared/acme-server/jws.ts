import { JOSEError } from 'jose/errors';
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { flattenedVerify } from 'jose/jws/flattened/verify';
import { importJWK } from 'jose/key/import';
import { type EcJwk, openEcdsa } from './ecdsa.ts';
import { AcmeError, malformed } from './problem.ts';
import { type JsonObject, parseJsonObject } from './strict-json.ts';

// Signed requests (RFC 8555 section 6.2, RFC 7515 section 7.2.2). All that can be refused without a key is
// refused while it is parsed.

/** The public members alone, each once. */
export type PublicJwk =
  | { kty: 'RSA'; n: string; e: string }
  | EcJwk
  | { kty: 'OKP'; crv: 'Ed25519'; x: string };

/** What the protected header says. One of `kid` and `jwk` is there. */
type Header = { alg: string; url?: string; nonce?: string; kid?: string; jwk?: PublicJwk };

export type Jws = {
  header: Header;
  /** Nobody has vouched for it before a `Verifier` has. */
  payload: Uint8Array;
  /** As it came. */
  flattened: { protected: string; payload: string; signature: string };
};

/** The algorithms of an account's key (RFC 7518, RFC 8037). */
const algorithms = ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/**
 * The body of a request.
 *
 * @throws AcmeError `malformed`, `badSignatureAlgorithm` or `badPublicKey`
 */
export function parseRequest(body: Uint8Array): Jws & { header: { url: string; nonce: string } } {
  const jws = toJws(parseJsonObject(body, 'the request'), 'the request');
  const { header, ...rest } = jws;
  const { alg, url, nonce, jwk } = header;
  if (!algorithms.includes(alg)) throw badAlgorithm(`${quote(alg)} is not taken for requests`);
  if (jwk && algorithmOf(jwk) !== alg) throw badAlgorithm(`${quote(alg)} is not for such a key`);
  if (url === undefined) return malformed('the protected header has no url');
  if (nonce === undefined) throw new AcmeError('badNonce', 'the protected header has no nonce');
  return { ...rest, header: { ...header, url, nonce } };
}

const badAlgorithm = (detail: string) =>
  new AcmeError('badSignatureAlgorithm', `the algorithm ${detail}; taken are ${algorithms.join(', ')}`, {
    algorithms,
  });

/**
 * A flattened JWS out of JSON: of a request, or of what a payload has in it.
 *
 * @param what as an error names it
 * @throws AcmeError `malformed` or `badPublicKey`
 */
export function toJws(value: unknown, what: string): Jws {
  const { header, signatures, ...members } = toObject(value, what);
  if (signatures !== undefined) malformed(`${what} has several signatures: send a flattened JWS`);
  if (header !== undefined) malformed(`${what} has an unprotected header`);
  const flattened = {
    protected: toBase64url(members.protected, `the protected header of ${what}`),
    payload: toBase64url(members.payload, `the payload of ${what}`),
    signature: toBase64url(members.signature, `the signature of ${what}`),
  };
  const inHeader = parseJsonObject(decodeBase64url(flattened.protected), `the protected header of ${what}`);
  return {
    header: toHeader(inHeader, `the protected header of ${what}`),
    payload: decodeBase64url(flattened.payload),
    flattened,
  };
}

function toHeader(header: JsonObject, where: string): Header {
  for (const name of ['crit', 'b64']) if (name in header) malformed(`${where} has ${name}`);
  const text = (name: string) => toText(header[name], `${name} in ${where}`);
  const { alg, kid, jwk } = header;
  if (alg === undefined) malformed(`${where} has no alg`);
  if ((kid === undefined) === (jwk === undefined)) malformed(`${where} needs either kid or jwk`);
  return {
    alg: text('alg'),
    ...(header.url !== undefined && { url: text('url') }),
    ...(header.nonce !== undefined && { nonce: toNonce(header.nonce) }),
    ...(kid !== undefined && { kid: text('kid') }),
    ...(jwk !== undefined && { jwk: parseJwk(jwk) }),
  };
}

/** RFC 8555 section 6.5.2. */
function toNonce(value: unknown): string {
  const nonce = toBase64url(value, 'the nonce');
  return nonce === '' ? malformed('the nonce is empty') : nonce;
}

const toObject = (value: unknown, what: string): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : malformed(`${what} is not a JSON object`);

const toText = (value: unknown, what: string): string =>
  typeof value === 'string' ? value : malformed(`${what} is not a text`);

const toBase64url = (value: unknown, what: string): string =>
  typeof value === 'string' && isBase64url(value) ? value : malformed(`${what} is not base64url`);

const isBase64url = (text: string) => /^[A-Za-z0-9_-]*$/.test(text) && text.length % 4 !== 1;

const decodeBase64url = (text: string): Uint8Array => Buffer.from(text, 'base64url');

const LONGEST_QUOTE = 60;

const quote = (text: string) => JSON.stringify(text.slice(0, LONGEST_QUOTE));

const RSA_BITS = { least: 2_048, most: 8_192 };
const LONGEST_EXPONENT = 4;

/** Of the private form of each kind of key, and of one that is secret as a whole. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/**
 * Each number in its one form (RFC 7518 section 6), as a key is known by its thumbprint: of one that came in
 * another form there would be several.
 *
 * @throws AcmeError `badPublicKey`
 */
export function parseJwk(value: unknown): PublicJwk {
  const jwk = toObject(value, 'the jwk');
  if (privateMembers.some(name => name in jwk)) badKey('holds the private key: only the account has that');
  const { kty, crv } = jwk;
  const member = (name: string) => {
    const text = jwk[name];
    return typeof text === 'string' && text !== '' && isBase64url(text)
      ? toOneForm(decodeBase64url(text), kty === 'RSA')
      : badKey(`has no ${name}`);
  };
  if (kty === 'RSA') return refuseBadRsa({ kty, n: member('n'), e: member('e') });
  if (kty === 'OKP' && crv === 'Ed25519') return { kty, crv, x: member('x') };
  if (kty === 'EC' && (crv === 'P-256' || crv === 'P-384' || crv === 'P-521'))
    return { kty, crv, x: member('x'), y: member('y') };
  return badKey('is of a kind that is not taken: RSA, EC (P-256, P-384, P-521) and OKP (Ed25519) are');
}

/** @param isInteger whether zeros in front do not count */
function toOneForm(bytes: Uint8Array, isInteger: boolean): string {
  const first = isInteger ? bytes.findIndex(byte => byte !== 0) : 0;
  return Buffer.from(bytes.subarray(Math.max(first, 0))).toString('base64url');
}

function refuseBadRsa(jwk: Extract<PublicJwk, { kty: 'RSA' }>): PublicJwk {
  const bits = bitsOf(decodeBase64url(jwk.n));
  const { least, most } = RSA_BITS;
  if (bits < least || bits > most) badKey(`has ${bits} bits: from ${least} to ${most} are taken`);
  const exponent = decodeBase64url(jwk.e);
  const isOdd = (exponent.at(-1) ?? 0) % 2 === 1;
  if (!isOdd || exponent.length > LONGEST_EXPONENT || bitsOf(exponent) < 2) badKey('has an unusual exponent');
  return jwk;
}

function bitsOf(bytes: Uint8Array): number {
  const first = bytes.findIndex(byte => byte !== 0);
  if (first < 0) return 0;
  return 8 * (bytes.length - first) - Math.clz32(bytes[first] ?? 0) + 24;
}

function badKey(reason: string): never {
  throw new AcmeError('badPublicKey', `the jwk ${reason}`);
}

const ofCurves = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512', Ed25519: 'EdDSA' } as const;

/** The one algorithm that a key signs by. */
const algorithmOf = (jwk: PublicJwk) => (jwk.kty === 'RSA' ? 'RS256' : ofCurves[jwk.crv]);

/** The number that makes a key this one, as a SubjectPublicKeyInfo has it: the modulus, or x of the point. */
export function keyNumber(jwk: PublicJwk): Buffer {
  const number = Buffer.from(jwk.kty === 'RSA' ? jwk.n : jwk.x, 'base64url');
  return number.subarray(jwk.kty === 'RSA' ? number.findIndex(byte => byte !== 0) : 0);
}

/** RFC 7638, by SHA-256, in base64url. */
export const thumbprintOf = (jwk: PublicJwk): Promise<string> => calculateJwkThumbprint(jwk, 'sha256');

/** A key that is ready to verify. */
export type Verifier = (jws: Jws) => Promise<boolean>;

/**
 * @returns says whether a JWS bears the signature of this key
 * @throws AcmeError `badPublicKey` where it is no point of its curve
 */
export async function openVerifier(jwk: PublicJwk): Promise<Verifier> {
  const alg = algorithmOf(jwk);
  const key = await importJWK(jwk, alg).catch(() => badKey('is no key'));
  if (jwk.kty !== 'EC') return jws => isSigned(jws, key, [alg]);
  const isSignature = openEcdsa(jwk);
  return async ({ header, flattened: { protected: protectedHeader, payload, signature } }) =>
    header.alg === alg && isSignature(`${protectedHeader}.${payload}`, Buffer.from(signature, 'base64url'));
}

async function isSigned(
  { flattened }: Jws,
  key: Awaited<ReturnType<typeof importJWK>>,
  algorithms: string[],
): Promise<boolean> {
  try {
    await flattenedVerify(flattened, key, { algorithms });
    return true;
  } catch (error) {
    if (error instanceof JOSEError) return false;
    throw error;
  }
}
