import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { acceptChain, certifiesKey, readCertificate } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { der } from './handmade-csr.ts';
import { ecKey, makeCertificate, makeCsr, rsaKey } from './openssl-csr.ts';
import { rewritten } from './rewritten-key.ts';

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
    [rsaKey(), rsaKey(2056)],
  ] as const) {
    const certificate = readCertificate(makeCertificate({ key }));
    const derOf = (file: string) => readCsr(Buffer.from(makeCsr({ key: file, names: 'DNS:a.org' }))).der;
    assert.equal(certifiesKey(certificate, derOf(key)), true);
    assert.equal(certifiesKey(certificate, derOf(other)), false);
  }
});

test('certifiesKey() compares keys, and not how they are written', () => {
  for (const [key, other] of [
    [ecKey(), ecKey('prime256v1')],
    [rsaKey(), rsaKey(2056)],
  ] as const) {
    const { publicKey } = readCertificate(makeCertificate({ key }));
    const derOf = (file: string) => readCsr(Buffer.from(makeCsr({ key: file, names: 'DNS:a.org' }))).der;
    const written = rewritten(publicKey);
    assert.equal(derOf(key).includes(written), false);
    assert.equal(certifiesKey({ publicKey: written }, derOf(key)), true);
    assert.equal(certifiesKey({ publicKey: written }, derOf(other)), false);
  }
  assert.equal(certifiesKey({ publicKey: Buffer.from('no key') }, Buffer.from('no CSR')), false);
});

const hour = 3_600_000;
const csr = readCsr(Buffer.from(makeCsr({ names: 'DNS:a.org,IP:192.0.2.1' }))).der;
const identifiers = [
  { type: 'dns', value: 'a.org' },
  { type: 'ip', value: '192.0.2.1' },
] as const;
const both = 'DNS:a.org,IP:192.0.2.1';
const accept = (chain: string, now = Date.now()) =>
  acceptChain(chain, { identifiers, csr, mayHold: ({ value }) => value === 'www.a.org' }, now).pems;

test('acceptChain() takes a chain leaf first, with all that was ordered, and with what may be in it besides', () => {
  for (const names of [both, 'IP:192.0.2.1,DNS:A.org', `${both},DNS:www.a.org`]) {
    const [leaf, issuer] = [makeCertificate({ names }), makeCertificate({ key: ecKey('P-384') })];
    assert.deepEqual(accept(`# as some CAs have it\n${leaf}\n\n${issuer}`), [leaf, issuer]);
  }
});

for (const [what, names, message] of [
  ['lacks a name', 'DNS:a.org', 'does not hold 192.0.2.1'],
  ['has one name as another type', 'DNS:a.org,DNS:192.0.2.1', 'does not hold 192.0.2.1'],
  ['has a name that nobody admits', `${both},DNS:evil.org`, 'also holds "evil.org", which was not ordered'],
  ['has a wildcard that nobody admits', `${both},DNS:*.a.org`, 'also holds "*.a.org", which was not ordered'],
  [
    'has an address that nobody admits',
    `${both},IP:10.0.0.1`,
    'also holds "10.0.0.1", which was not ordered',
  ],
] as const)
  test(`acceptChain() refuses a certificate that ${what}`, () => {
    assert.throws(() => accept(makeCertificate({ names })), {
      code: 'unexpected',
      message: `the CA sent a certificate that ${message}`,
    });
  });

test('acceptChain() refuses a certificate for another key, and one that is not valid now, give or take an hour', () => {
  const other = makeCertificate({ names: both, key: ecKey('P-384') });
  const forOther = { code: 'unexpected', message: "the CA sent a certificate that is not for the CSR's key" };
  assert.throws(() => accept(other), forOther);
  const leaf = makeCertificate({ names: both, days: 1 });
  const { notBefore, notAfter } = readCertificate(leaf);
  for (const now of [notBefore - hour, notBefore, notAfter - 1]) assert.deepEqual(accept(leaf, now), [leaf]);
  const until = `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
  for (const now of [notBefore - hour - 1, notAfter])
    assert.throws(() => accept(leaf, now), {
      message: `the CA sent a certificate that is valid from ${until}`,
    });
});

test('acceptChain() takes what is no chain for a passing fault, as the certificate itself is there', () => {
  const leaf = makeCertificate({ names: both });
  for (const text of ['', '<html></html>', leaf.slice(0, 200), leaf.replace('MII', 'MIJ')])
    assert.throws(() => accept(text), {
      code: 'unavailable',
      message: 'the CA sent a damaged certificate chain',
    });
});
