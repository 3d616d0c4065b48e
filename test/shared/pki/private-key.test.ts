import assert from 'node:assert/strict';
import { checkPrimeSync, createPrivateKey, generatePrimeSync, type JsonWebKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeKeyType, generateKeyPem, readPrivateKey } from '../../../shared/pki/private-key.ts';
import { ecKey, keyFile, openssl, rsaKey } from './openssl-csr.ts';

test('generateKeyPem() makes PKCS#8 keys without a password that readPrivateKey() reads', async () => {
  for (const type of ['P-256', 'P-384', 'RSA-2048', 'RSA-3072'] as const) {
    const pem = await generateKeyPem(type);
    assert.match(pem, /^-----BEGIN PRIVATE KEY-----\n/);
    assert.equal(describeKeyType(readPrivateKey(pem)), type);
  }
});

test('readPrivateKey() reads RSA and EC keys in PKCS#8, PKCS#1 and SEC1', () => {
  for (const file of [rsaKey(), ecKey(), ecKey('P-384'), ecKey('P-521')]) {
    assert.equal(readPrivateKey(readFileSync(file)).type, 'private');
    assert.equal(readPrivateKey(openssl('pkey', '-in', file, '-traditional')).type, 'private');
  }
});

test('readPrivateKey() says what is wrong with a key', () => {
  const read =
    (...options: string[]) =>
    () =>
      readPrivateKey(readFileSync(keyFile(...options), 'utf8'));
  assert.throws(read('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'), /has 1024 bits/);
  assert.throws(read('-algorithm', 'ED25519'), /neither RSA nor EC/);
  assert.throws(read('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'), /curve/);
  assert.throws(
    () => readPrivateKey(openssl('pkey', '-in', ecKey(), '-aes256', '-passout', 'pass:x')),
    /is encrypted/,
  );
  assert.throws(() => readPrivateKey('hello'), /not a private key/);
  assert.throws(() => readPrivateKey(openssl('pkey', '-in', ecKey(), '-pubout')), /not a private key/);
});

test('readPrivateKey() refuses a key that anybody can compute, with the words for it', () => {
  const p = generatePrimeSync(1024, { bigint: true });
  let q = p + 2n;
  while (!checkPrimeSync(q)) q += 2n;
  const pem = createPrivateKey({ key: toJwk(p, q), format: 'jwk' }).export({ type: 'pkcs8', format: 'pem' });
  assert.throws(() => readPrivateKey(pem), {
    message: /^the RSA key is weak: its two primes are too close to each other/,
  });
});

/** RFC 7518 section 6.3.2. */
function toJwk(p: bigint, q: bigint): JsonWebKey {
  const e = 65537n;
  const d = inverse(e, (p - 1n) * (q - 1n));
  const numbers = { n: p * q, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const encode = (number: bigint) => {
    const hex = number.toString(16);
    return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
  };
  const encoded = Object.entries(numbers).map(([name, number]) => [name, encode(number)]);
  return { kty: 'RSA', ...Object.fromEntries(encoded) };
}

/** Euclid's algorithm. */
function inverse(number: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [number % modulus, modulus, 1n, 0n];
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}
