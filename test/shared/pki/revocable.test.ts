import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCertificate, splitChain } from '../../../shared/pki/certificate.ts';
import { readRevocable } from '../../../shared/pki/revocation.ts';
import { ecKey, makeCertificate, openssl } from './openssl-csr.ts';

test('readRevocable() reads the first certificate, whatever stands around it', () => {
  const pem = makeCertificate({ names: 'DNS:WWW.example.org,IP:192.0.2.1' });
  const {
    identifiers,
    names,
    notAfter,
    pem: alone,
  } = readRevocable(`text\r\n${pem.replaceAll('\n', '\r\n')}${makeCertificate()}`);
  assert.deepEqual(identifiers, [
    { type: 'dns', value: 'www.example.org' },
    { type: 'ip', value: '192.0.2.1' },
  ]);
  assert.deepEqual(names, ['www.example.org', '192.0.2.1']);
  assert.deepEqual([notAfter, alone], [readCertificate(pem).notAfter, splitChain(pem)[0]]);
});

test('readRevocable() rejects what is no certificate with badCsr', () => {
  const damaged = makeCertificate().replace(/\n[^-]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
  for (const text of ['', 'text', damaged, makeCertificate().slice(0, 200)]) {
    assert.throws(() => readRevocable(text), {
      name: 'IssuanceError',
      code: 'badCsr',
      message: /^not a certificate: .+$/,
    });
  }
});

test('readRevocable() denies a certificate that nobody can be said to have', () => {
  const bare = openssl('req', '-x509', '-new', '-key', ecKey(), '-days', '9', '-subj', '/CN=example.org');
  assert.throws(() => readRevocable(bare), {
    code: 'denied',
    message:
      'the certificate has no subjectAltName, and what its CN says does not count; an operator can revoke it with quarry acme reg … cert revoke',
  });
  const alone = makeCertificate({ names: 'email:a@b.org' });
  assert.throws(() => readRevocable(alone), { code: 'denied', message: /neither hosts nor addresses/ });
  for (const other of [
    'email:a@b.org',
    'URI:https://b.org/a\\, DNS:c.org',
    'RID:1.2.3',
    'otherName:1.2.3;UTF8:DNS:x',
  ]) {
    const pem = makeCertificate({ names: `DNS:www.example.org,${other}` });
    assert.throws(
      () => readRevocable(pem),
      { code: 'denied', message: /neither hosts nor addresses/ },
      other,
    );
  }
});
