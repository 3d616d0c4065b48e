import assert from 'node:assert/strict';
import { hash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import {
  describeShown,
  openClientCa,
  readForwardedCertificate,
} from '../../../shared/admission/client-ca.ts';
import { readKeyDigest } from '../../../shared/pki/public-key.ts';
import { caExtensions, issueCertificate, serverExtensions } from '../../support/certificates.ts';

const root = await issueCertificate({ subject: '/CN=root', extensions: caExtensions });
const between = await issueCertificate({ subject: '/CN=between', issuer: root, extensions: caExtensions });
const leaf = await issueCertificate({
  ...{ issuer: between, subject: '/CN=cn.example.org' },
  extensions: serverExtensions(
    '192.0.2.7',
    'Web1.example.org',
    '*.web1.example.org',
    'under_score.example.org',
  ),
});
const [leafDer, betweenDer] = [leaf, between].map(({ pem }) => new X509Certificate(pem).raw) as [
  Buffer,
  Buffer,
];

test('a client certificate is known by its alternative names that are well formed, its digest and its key', () => {
  const shown = openClientCa(`${root.pem}\n${between.pem}`).verify([leafDer], Date.now());
  assert.ok(!('fault' in shown));
  assert.deepEqual(shown.identifiers, [
    { type: 'ip', value: '192.0.2.7' },
    { type: 'dns', value: 'web1.example.org' },
    { type: 'dns', value: '*.web1.example.org' },
  ]);
  assert.equal(shown.fingerprint, hash('sha256', leafDer));
  assert.equal(shown.publicKey, readKeyDigest(leaf.pem));
  assert.equal(
    describeShown(shown),
    `client certificate web1.example.org ${hash('sha256', leafDer).slice(0, 16)}`,
  );
});

test('a file of CAs that holds none, or a damaged one, cannot be used', () => {
  assert.throws(() => openClientCa('no PEM at all'), /it holds no certificate in PEM/);
  assert.throws(() => openClientCa(root.pem.replace(/M/, 'N')), /./);
  assert.throws(() => openClientCa(root.pem.slice(0, -40)), /does not end/);
});

const pem = leaf.pem;
const chain = pem + between.pem;
const base64 = leafDer.toString('base64');

const forms: [name: string, header: string, expected: Buffer[]][] = [
  ["nginx's $ssl_client_escaped_cert", encodeURIComponent(pem), [leafDer]],
  ["nginx's $ssl_client_cert, with tabs", pem.replace(/\n(?=.)/g, ' \t'), [leafDer]],
  ["Caddy's certificate_pem, with spaces", pem.replace(/\n/g, ' '), [leafDer]],
  ["Caddy's certificate_der_base64", base64, [leafDer]],
  ['a chain', encodeURIComponent(chain), [leafDer, betweenDer]],
  ['a chain with spaces', chain.replace(/\n/g, ' '), [leafDer, betweenDer]],
];

for (const [name, header, expected] of forms) {
  test(`readForwardedCertificate() reads ${name}`, () => {
    assert.deepEqual(readForwardedCertificate(header), expected);
  });
}

const hostile: [name: string, header: string][] = [
  ['a damaged escape', encodeURIComponent(pem).replace('%0A', '%ZZ')],
  ['an escape of bytes that are no UTF-8', `%ff${encodeURIComponent(pem)}`],
  ['text in front', `x ${pem.replace(/\n/g, ' ')}`],
  ['text behind', `${pem.replace(/\n/g, ' ')} x`],
  ['two joined by a comma', `${encodeURIComponent(pem)}, ${encodeURIComponent(pem)}`],
  ['a block without an end', pem.replace(/\n/g, ' ').replace(/-----END.*/, '')],
  ['two blocks in one another', `-----BEGIN CERTIFICATE-----${pem.replace(/\n/g, ' ')}`],
  ['what is not base64', pem.replace(/\n/g, ' ').replace('M', '!')],
  ['base64 of the URL', base64.replaceAll('+', '-').replaceAll('/', '_')],
  ['no certificate at all', 'SUCCESS'],
];

for (const [name, header] of hostile) {
  test(`of a header with ${name} nothing counts`, () => {
    const read = readForwardedCertificate(header);
    const shown = read && openClientCa(root.pem).verify(read, Date.now());
    assert.ok(shown === undefined || 'fault' in shown);
  });
}

test('no mutation of a header makes a certificate of other names', () => {
  const clientCa = openClientCa(root.pem);
  const header = encodeURIComponent(chain);
  const good = clientCa.verify(readForwardedCertificate(header) ?? [], Date.now());
  assert.ok(!('fault' in good));
  for (let at = 0; at < header.length; at += 3) {
    for (const character of ['%', ' ', '-', 'A', '']) {
      const read = readForwardedCertificate(header.slice(0, at) + character + header.slice(at + 1));
      const shown = read && clientCa.verify(read, Date.now());
      if (shown && !('fault' in shown)) assert.deepEqual(shown.fingerprint, good.fingerprint);
    }
  }
});
