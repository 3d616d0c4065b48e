import assert from 'node:assert/strict';
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
