import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';
import { findAcmeCertificateFault } from '../../../shared/pki/read-acme-certificate.ts';
import { ecKey, openssl, rsaKey } from './openssl-csr.ts';

const www = { type: 'dns', value: 'www.example.org' } as const;
const digest = createHash('sha256').update('token.thumbprint').digest();
const extension = (value: Buffer, critical = 'critical,') =>
  `1.3.6.1.5.5.7.1.31=${critical}DER:${value.toString('hex').replace(/..(?=.)/g, '$&:')}`;
const octets = (content: Buffer) => Buffer.concat([Buffer.from([4, content.length]), content]);
const proof = extension(octets(digest));

type Made = { names?: string; extensions?: string[]; key?: string; more?: string[] };

/** As a client may make it: by default as RFC 8737 has it. */
function make({ names = 'DNS:www.example.org', extensions = [proof], key = ecKey(), more = [] }: Made = {}) {
  const asked = [`subjectAltName=${names}`, ...extensions].flatMap(one => ['-addext', one]);
  const pem = openssl('req', '-x509', '-new', '-key', key, '-subj', '/CN=any', ...asked, ...more);
  return new X509Certificate(pem).raw;
}

suite('a certificate for tls-alpn-01', () => {
  test('is taken from clients whatever else is in it', () => {
    const usage = 'keyUsage=critical,keyEncipherment';
    for (const made of [
      make(),
      make({ names: 'DNS:WWW.example.org' }),
      make({ key: rsaKey() }),
      make({ extensions: [proof, usage, 'basicConstraints=critical,CA:FALSE'] }),
      make({ more: ['-days', '1'] }),
    ])
      assert.equal(findAcmeCertificateFault(made, www, digest), undefined);
    for (const value of ['192.0.2.1', '2001:db8::1'])
      assert.equal(
        findAcmeCertificateFault(make({ names: `IP:${value}` }), { type: 'ip', value }, digest),
        undefined,
      );
  });

  test('is for the one name alone', () => {
    for (const names of [
      'DNS:www.example.org,DNS:example.org',
      'DNS:www.example.org,DNS:www.example.org',
      'DNS:example.org',
      'email:www.example.org',
      'IP:192.0.2.1',
      'DNS:www.example.org,IP:192.0.2.1',
    ])
      assert.equal(
        findAcmeCertificateFault(make({ names }), www, digest),
        'is not for www.example.org alone',
        names,
      );
    const mapped = make({ names: 'IP:::ffff:192.0.2.1' });
    assert.match(
      `${findAcmeCertificateFault(mapped, { type: 'ip', value: '192.0.2.1' }, digest)}`,
      /is not for/,
    );
  });

  for (const [what, extensions, why] of [
    ['no acmeIdentifier', [], 'has no acmeIdentifier extension'],
    ['one that is not critical', [extension(octets(digest), '')], /that is not critical$/],
    [
      'another digest',
      [extension(octets(Buffer.from(digest).reverse()))],
      'has the digest of another key authorization',
    ],
    [
      'a shorter digest',
      [extension(octets(digest.subarray(1)))],
      'has the digest of another key authorization',
    ],
    ['the digest alone', [extension(digest)], 'is damaged'],
    ['more than the digest', [extension(Buffer.concat([octets(digest), octets(digest)]))], 'is damaged'],
  ] as const)
    test(`is refused with ${what}`, () => {
      const fault = findAcmeCertificateFault(make({ extensions: [...extensions] }), www, digest);
      assert.match(`${fault}`, typeof why === 'string' ? new RegExp(`^${why}$`) : why);
    });

  test('is self-signed', () => {
    const made = make();
    const forged = Buffer.from(made);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    assert.equal(findAcmeCertificateFault(forged, www, digest), 'is not self-signed');
  });

  test('is damaged wherever it is cut off', () => {
    const made = make();
    for (let length = 0; length < made.length; length += 7)
      assert.equal(findAcmeCertificateFault(made.subarray(0, length), www, digest), 'is damaged');
  });
});
