import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { makeAcmeCertificate } from '../../../shared/pki/acme-certificate.ts';
import { encodePem } from '../../../shared/pki/certificate.ts';
import { readAcmeIdentifier } from '../../support/acme-tls.ts';
import { provision } from '../../support/provision.ts';
import { tempDir } from '../../support/temp-dir.ts';

const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const digest = createHash('sha256').update('token.thumbprint').digest();
const now = Date.parse('2026-11-25T12:00:00Z');

for (const [identifier, names] of [
  [{ type: 'dns', value: 'www.example.org' }, 'DNS:www.example.org'],
  [{ type: 'ip', value: '192.0.2.1' }, 'IP Address:192.0.2.1'],
  [{ type: 'ip', value: '2001:db8::1' }, 'IP Address:2001:DB8:0:0:0:0:0:1'],
] as const)
  test(`makeAcmeCertificate() is self-signed and for ${identifier.value} alone`, async () => {
    const certificate = new X509Certificate(await makeAcmeCertificate(key, identifier, digest, now));
    assert.equal(certificate.subjectAltName, names);
    assert.equal(certificate.issuer, certificate.subject);
    assert.ok(certificate.verify(certificate.publicKey) && certificate.checkPrivateKey(key));
    assert.equal(readAcmeIdentifier(certificate.raw), digest.toString('base64url'));
    assert.ok(Date.parse(certificate.validFrom) < now && Date.parse(certificate.validTo) > now + 86_400_000);
  });

test('makeAcmeCertificate() is what openssl reads as a version 3 certificate with a critical acmeIdentifier', async () => {
  const { openssl } = await provision(['openssl']);
  await using dir = await tempDir();
  const file = join(dir.path, 'certificate.pem');
  const der = await makeAcmeCertificate(key, { type: 'dns', value: 'www.example.org' }, digest, now);
  await writeFile(file, encodePem('CERTIFICATE', der));
  const { stdout } = await promisify(execFile)(openssl, ['x509', '-in', file, '-noout', '-text']);
  assert.match(stdout, /Version: 3 \(0x2\)/);
  assert.match(stdout, /X509v3 Subject Alternative Name: *\n +DNS:www\.example\.org\n/);
  assert.match(stdout, /1\.3\.6\.1\.5\.5\.7\.1\.31: critical/);
});

test('makeAcmeCertificate() gives each certificate a positive serial number of its own', async () => {
  const serials = new Set<string>();
  for (let count = 0; count < 20; count++) {
    const der = await makeAcmeCertificate(key, { type: 'dns', value: 'www.example.org' }, digest, now);
    serials.add(new X509Certificate(der).serialNumber);
  }
  assert.equal(serials.size, 20);
  for (const serial of serials) assert.match(serial, /^[4-7]/);
});
