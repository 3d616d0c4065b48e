import {
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign as signBytes,
} from 'node:crypto';

// JWS by hand (RFC 7515, RFC 7518, RFC 8037), apart from what Quarry signs and verifies with, so that a test
// can make everything wrong.

export type Alg = 'ES256' | 'ES384' | 'ES512' | 'RS256' | 'EdDSA';

/** Of a client's account, or of a certificate. */
export type ClientKey = { alg: Alg; privateKey: KeyObject; jwk: JsonWebKey; thumbprint: string };

/** A text is taken as it is, so that a test can have members twice, or no JSON at all. */
export type JwsHeader = Record<string, unknown> | string;

/** The flattened JSON serialization (RFC 7515 section 7.2.2). */
export type FlatJws = { protected: string; payload: string; signature: string };

const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const;
const digests = { ES256: 'sha256', ES384: 'sha384', ES512: 'sha512', RS256: 'sha256', EdDSA: null } as const;

/** A new key for this algorithm; `bits` is of RSA. */
export function makeClientKey(alg: Alg = 'ES256', bits = 2048): ClientKey {
  return toClientKey(makeKeyPair(alg, bits), alg);
}

function makeKeyPair(alg: Alg, bits: number): KeyObject {
  if (alg === 'RS256') return generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519').privateKey;
  return generateKeyPairSync('ec', { namedCurve: curves[alg] }).privateKey;
}

/** Of a key that there is, such as that of a certificate. */
export function toClientKey(privateKey: KeyObject, alg: Alg = 'ES256'): ClientKey {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  return { alg, privateKey, jwk, thumbprint: toThumbprint(jwk) };
}

/** RFC 7638: a digest of the members that the kind of key requires, in their order. */
function toThumbprint({ crv, e, kty, n, x, y }: JsonWebKey): string {
  const members = { RSA: { e, kty, n }, EC: { crv, kty, x, y }, OKP: { crv, kty, x } }[kty as string];
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

export const toBase64url = (text: string | Buffer): string => Buffer.from(text).toString('base64url');

/** Signs as the header's `alg` says it is done, whatever the header says. */
export function signJws(
  header: JwsHeader,
  payload: string | Buffer,
  { alg, privateKey }: ClientKey,
): FlatJws {
  const [protectedText, payloadText] = toParts(header, payload);
  const input = Buffer.from(`${protectedText}.${payloadText}`);
  // JWS has r and s side by side, and no DER.
  const signature = signBytes(digests[alg], input, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return { protected: protectedText, payload: payloadText, signature: signature.toString('base64url') };
}

export type MacAlg = 'HS256' | 'HS384' | 'HS512';

/** A MAC in a signature's place, as in an external account binding. */
export function macJws(
  header: JwsHeader,
  payload: string | Buffer,
  key: string | Buffer,
  alg: MacAlg = 'HS256',
): FlatJws {
  const [protectedText, payloadText] = toParts(header, payload);
  const mac = createHmac(`sha${alg.slice(2)}`, key).update(`${protectedText}.${payloadText}`);
  return { protected: protectedText, payload: payloadText, signature: mac.digest('base64url') };
}

const toParts = (header: JwsHeader, payload: string | Buffer) =>
  [toBase64url(typeof header === 'string' ? header : JSON.stringify(header)), toBase64url(payload)] as const;

/** What a client knows of an external account binding: a key id, and the bytes of a MAC's key. */
export type EabKey = { kid: string; key: string | Buffer; alg?: MacAlg };

/** RFC 8555 section 7.3.4: the MAC over the account's public key. */
export function bindAccount(
  { kid, key, alg = 'HS256' }: EabKey,
  url: string,
  jwk: JsonWebKey,
  header: Record<string, unknown> = {},
): FlatJws {
  return macJws({ alg, kid, url, ...header }, JSON.stringify(jwk), key, alg);
}
