import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { certifiesKey, readCertificate } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { der } from './handmade-csr.ts';
import { ecKey, makeCertificate, makeCsr, rsaKey } from './openssl-csr.ts';

test('readCertificate() gives times, names, key, issuer and serial', () => {
  const names = 'DNS:Example.org,DNS:*.example.org,IP:192.0.2.1,IP:2001:db8::1';
  const before = Math.floor(Date.now() / 1000) * 1000;
  const certificate = readCertificate(makeCertificate({ names, days: 30 }));
  assert.deepEqual(certificate.identifiers, [
    { type: 'dns', value: 'example.org' },
    { type: 'dns', value: '*.example.org' },
    { type: 'ip', value: '192.0.2.1' },
    { type: 'ip', value: '2001:db8::1' },
  ]);
  assert.equal(certificate.notAfter - certificate.notBefore, 30 * 24 * 3600 * 1000);
  assert.ok(certificate.notBefore >= before && certificate.notBefore <= Date.now());
  assert.match(certificate.issuer, /CN=example\.org/);
  assert.match(certificate.serial, /^[0-9A-F]+$/);
  const key = createPublicKey(readFileSync(ecKey()));
  assert.deepEqual(certificate.publicKey, key.export({ type: 'spki', format: 'der' }));
});

test('readCertificate() reads the first certificate of a chain', () => {
  const chain =
    makeCertificate({ names: 'DNS:leaf.example.org' }) + makeCertificate({ names: 'DNS:ca.example.org' });
  assert.deepEqual(readCertificate(chain).identifiers, [{ type: 'dns', value: 'leaf.example.org' }]);
});

test('readCertificate() does not take a name with a comma apart', () => {
  const value = der(
    0x30,
    der(0x86, Buffer.from('x:", DNS:evil.example.net')),
    der(0x82, Buffer.from('a.org')),
  );
  const { identifiers } = readCertificate(makeCertificate({ names: `DER:${value.toString('hex')}` }));
  assert.deepEqual(identifiers, [{ type: 'dns', value: 'a.org' }]);
});

test('readCertificate() does not take an other name for one of its own', () => {
  const names = 'otherName:1.2.3.4;UTF8:DNS:evil.example.net,email:a@example.org,DNS:a.org';
  assert.deepEqual(readCertificate(makeCertificate({ names })).identifiers, [
    { type: 'dns', value: 'a.org' },
  ]);
});

test('readCertificate() throws on damage', () => {
  const pem = makeCertificate();
  for (const damaged of ['', 'hello', pem.slice(0, 200), pem.replace('MII', 'MIJ')]) {
    assert.throws(() => readCertificate(damaged), Error);
  }
});

test("certifiesKey() tells a CSR with the certificate's key from one with another", () => {
  for (const [key, other] of [
    [ecKey(), ecKey('P-384')],
    [rsaKey(), rsaKey(3072)],
  ] as const) {
    const certificate = readCertificate(makeCertificate({ key }));
    const derOf = (file: string) => readCsr(Buffer.from(makeCsr({ key: file, names: 'DNS:a.org' }))).der;
    assert.equal(certifiesKey(certificate, derOf(key)), true);
    assert.equal(certifiesKey(certificate, derOf(other)), false);
  }
});
