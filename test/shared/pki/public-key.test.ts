import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { readDer } from '../../../shared/pki/der.ts';
import { keyDigest } from '../../../shared/pki/key.ts';
import { csrKeyDigest, openedKeyDigest, readKeyDigest } from '../../../shared/pki/public-key.ts';
import { ecKey, makeCertificate, makeCsr, opensslOver, rsaKey } from './openssl-csr.ts';

const infoOf = (key: string) => createPublicKey(readFileSync(key)).export({ format: 'der', type: 'spki' });

for (const [what, key] of [
  ['P-256', ecKey()],
  ['P-384', ecKey('P-384')],
  ['RSA', rsaKey()],
] as const)
  test(`a ${what} key has one digest, that of openssl, in a CSR, a certificate and alone`, () => {
    const digest = createHash('sha256').update(infoOf(key)).digest('hex');
    const csr = makeCsr({ key, names: 'DNS:a.example' });
    const publicKey = opensslOver(readFileSync(key, 'utf8'), 'pkey', '-pubout');
    for (const pem of [csr, makeCertificate({ key }), publicKey]) assert.equal(readKeyDigest(pem), digest);
    const { der } = readCsr(Buffer.from(csr));
    assert.deepEqual([parseCsr(der).publicKey, csrKeyDigest(der)], [digest, digest]);
    assert.equal(openedKeyDigest(readFileSync(key)), digest);
  });

test('a key has the same digest where its point is compressed, and where its RSA has no NULL', () => {
  const usual = keyDigest(readDer(infoOf(ecKey())));
  const pem = readFileSync(ecKey(), 'utf8');
  const compressed = opensslOver(pem, 'pkey', '-pubout', '-ec_conv_form', 'compressed');
  assert.notEqual(compressed, opensslOver(pem, 'pkey', '-pubout'));
  assert.equal(readKeyDigest(compressed), usual);

  const info = infoOf(rsaKey());
  const at = info.indexOf(Buffer.from([5, 0]));
  const bare = Buffer.concat([info.subarray(0, at), info.subarray(at + 2)]);
  bare.writeUInt16BE(bare.length - 4, 2);
  bare.writeUInt8(bare.readUInt8(5) - 2, 5);
  assert.equal(keyDigest(readDer(bare)), keyDigest(readDer(info)));
});

for (const [what, text, reason] of [
  ['a private key', readFileSync(ecKey(), 'utf8'), 'it holds no certificate, CSR or public key in PEM'],
  ['nothing', '', 'it holds no certificate, CSR or public key in PEM'],
  [
    'a damaged CSR',
    '-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n',
    'the certificate request in it is damaged',
  ],
  [
    'a damaged key',
    '-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n',
    'the public key in it is damaged',
  ],
] as const)
  test(`readKeyDigest() refuses ${what} in one line`, () => {
    assert.throws(() => readKeyDigest(text), { message: reason });
  });
