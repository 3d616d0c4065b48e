import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';

/**
 * Asserts that a client got what it was promised: a chain, leaf first, one blank line between its
 * certificates, that leads to one of the roots and certifies this key for exactly these names.
 *
 * @returns the leaf
 */
export function assertChain(
  body: string,
  expected: { rootPem: string; keyPem: string; names: string[] },
): X509Certificate {
  const certificates = toCertificates(body, '\n\n');
  const [leaf] = certificates;
  assert.ok(leaf && certificates.length >= 2, `a leaf and its issuers, not:\n${body}`);
  assert.ok(leaf.checkPrivateKey(createPrivateKey(expected.keyPem)), 'the leaf is for the key');
  assert.deepEqual(leafNames(leaf), [...expected.names].sort());
  const roots = toCertificates(expected.rootPem, /(?<=-----END CERTIFICATE-----)\n+/);
  certificates.forEach((certificate, index) => {
    const issuers = index + 1 < certificates.length ? certificates.slice(index + 1, index + 2) : roots;
    assert.ok(
      issuers.some(issuer => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)),
      `certificate ${index} is issued by the next`,
    );
  });
  return leaf;
}

/** The DNS names (in lower case) and addresses in the SANs, sorted. */
export function leafNames(leaf: X509Certificate): string[] {
  const names = (leaf.subjectAltName ?? '')
    .split(', ')
    .map(name => name.replace(/^(DNS|IP Address):/, '').toLowerCase());
  return names.sort();
}

function toCertificates(pems: string, separator: string | RegExp): X509Certificate[] {
  return pems
    .split(separator)
    .filter(pem => pem.trim() !== '')
    .map(pem => {
      assert.match(pem.trim(), /^-----BEGIN CERTIFICATE-----\n[^-]+\n-----END CERTIFICATE-----$/);
      return new X509Certificate(pem);
    });
}
