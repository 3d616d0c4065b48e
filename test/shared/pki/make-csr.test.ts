import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { parseIdentifier } from '../../../shared/base/identifier.ts';
import { encodePem } from '../../../shared/pki/certificate.ts';
import { parseCsr } from '../../../shared/pki/csr.ts';
import { makeCsr } from '../../../shared/pki/make-csr.ts';
import { readPrivateKey } from '../../../shared/pki/private-key.ts';
import { ecKey, openssl, opensslOver, rsaKey } from './openssl-csr.ts';

const keyOf = (file: string) => readPrivateKey(readFileSync(file));

/** What openssl says of a CSR, once it has verified its signature. */
function describe(csr: Buffer): string {
  return opensslOver(encodePem('CERTIFICATE REQUEST', csr), 'req', '-noout', '-text', '-verify');
}

for (const [what, file] of [
  ['EC P-256', ecKey()],
  ['EC P-384', ecKey('P-384')],
  ['RSA', rsaKey()],
] as const) {
  test(`makeCsr() signs with SHA-256 and a key that is ${what}, and openssl finds the signature good`, async () => {
    const csr = await makeCsr(keyOf(file), [parseIdentifier('example.org')]);
    const text = describe(csr);
    assert.match(text, /Subject: CN ?= ?example\.org\n/);
    assert.match(text, /X509v3 Subject Alternative Name: critical\n\s+DNS:example\.org\n/);
    assert.match(text, /Signature Algorithm: (ecdsa-with-SHA256|sha256WithRSAEncryption)/);
    assert.deepEqual(parseCsr(csr).identifiers, [{ type: 'dns', value: 'example.org' }]);
  });
}

test('makeCsr() writes the point of a key uncompressed, whatever the file of the key has', async () => {
  const file = `${ecKey()}.short`;
  openssl('ec', '-in', ecKey(), '-conv_form', 'compressed', '-out', file);
  const csr = await makeCsr(keyOf(file), [parseIdentifier('example.org')]);
  const { identifiers, unusual } = parseCsr(csr);
  assert.deepEqual([identifiers, unusual], [[{ type: 'dns', value: 'example.org' }], undefined]);
});

test('makeCsr() puts all names into the SAN: wildcards, and addresses of both kinds', async () => {
  const names = ['192.0.2.7', '2001:db8::5:0:1', '::1', '1::', '*.example.org', 'example.org'].map(
    parseIdentifier,
  );
  const csr = await makeCsr(keyOf(ecKey()), names);
  const text = describe(csr);
  assert.match(text, /Subject: CN ?= ?\*\.example\.org\n/);
  const addresses = 'IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:5:0:1, IP Address:0:0:0:0:0:0:0:1';
  assert.ok(
    text.includes(`${addresses}, IP Address:1:0:0:0:0:0:0:0, DNS:*.example.org, DNS:example.org`),
    text,
  );
  const parsed = parseCsr(csr).identifiers;
  assert.deepEqual(new Set(parsed), new Set(names));
});

test('makeCsr() leaves the CN out where no name fits into it', async () => {
  const long = `${'a'.repeat(60)}.example.org`;
  assert.match(describe(await makeCsr(keyOf(ecKey()), [parseIdentifier(long)])), /Subject: *\n/);
  assert.match(describe(await makeCsr(keyOf(ecKey()), [parseIdentifier('192.0.2.7')])), /Subject: *\n/);
  const both = [long, 'example.org'].map(parseIdentifier);
  assert.match(describe(await makeCsr(keyOf(ecKey()), both)), /Subject: CN ?= ?example\.org\n/);
});

test('parseIdentifier() knows names from addresses, and says what is wrong with one', () => {
  assert.deepEqual(parseIdentifier('WWW.Example.org'), { type: 'dns', value: 'www.example.org' });
  assert.deepEqual(parseIdentifier('2001:DB8:0::1'), { type: 'ip', value: '2001:db8::1' });
  const refused = (error: unknown) => error instanceof IssuanceError && error.code === 'badCsr';
  for (const text of ['', 'a b.example', '192.0.2', '*.org', 'example.org.']) {
    assert.throws(() => parseIdentifier(text), refused, text);
  }
});
