import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/basics.ts';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { alternativeNames, der, extensionAttribute, handmadeCsr, oid } from './handmade-csr.ts';
import { type CsrOptions, ecKey, keyFile, makeCsr, manyNames, rsaKey } from './openssl-csr.ts';

const toDer = (options: CsrOptions) => readCsr(Buffer.from(makeCsr(options))).der;
const wanted = { names: 'DNS:example.org' };

function namesOf(csr: Buffer): string[] {
  const { identifiers } = parseCsr(csr);
  return identifiers.map(({ type, value }) => `${type}:${value}`);
}

function assertRefused(csr: Buffer, reason: RegExp): void {
  assert.throws(
    () => parseCsr(csr),
    (error: IssuanceError) => {
      assert.ok(error instanceof IssuanceError, String(error));
      assert.equal(error.code, 'badCsr');
      assert.match(error.message, reason);
      assert.ok(!error.message.includes('\n'));
      return true;
    },
  );
}

const utf8 = (text: string) => der(0x0c, Buffer.from(text));
const asking = (...names: string[]) => extensionAttribute(oid.extensionRequest, alternativeNames(...names));

const accepted: [what: string, csr: () => Buffer, names: string[]][] = [
  ['a CN alone', () => toDer({ subject: '/CN=Example.ORG' }), ['dns:example.org']],
  [
    'SANs without CN',
    () => toDer({ names: 'DNS:b.example.org,DNS:a.example.org' }),
    ['dns:b.example.org', 'dns:a.example.org'],
  ],
  [
    'the CN first and no name twice',
    () =>
      toDer({
        subject: '/O=x/CN=www.example.org',
        names: 'DNS:example.org,DNS:WWW.example.org,DNS:example.org',
      }),
    ['dns:www.example.org', 'dns:example.org'],
  ],
  ['a CN of a multi-valued RDN', () => toDer({ subject: '/OU=a+CN=example.org/O=b' }), ['dns:example.org']],
  [
    'a CN that is for people, with SANs',
    () => toDer({ subject: '/CN=My server v1.0', ...wanted }),
    ['dns:example.org'],
  ],
  [
    'an underscored word as CN, with SANs',
    () => toDer({ subject: '/CN=my_server', ...wanted }),
    ['dns:example.org'],
  ],
  ['a wildcard', () => toDer({ subject: '/CN=*.example.org' }), ['dns:*.example.org']],
  ['a single label', () => toDer({ names: 'DNS:localhost' }), ['dns:localhost']],
  ['an A-label', () => toDer({ names: 'DNS:xn--mller-kva.example' }), ['dns:xn--mller-kva.example']],
  [
    'IP addresses in their canonical form',
    () => toDer({ names: 'IP:192.0.2.1,IP:2001:DB8:0:0:1:0:0:1,IP:0:0:0:0:0:0:0:1' }),
    ['ip:192.0.2.1', 'ip:2001:db8::1:0:0:1', 'ip:::1'],
  ],
  [
    'a CN that is one of its IP SANs',
    () => toDer({ subject: '/CN=192.0.2.1', names: 'IP:192.0.2.1' }),
    ['ip:192.0.2.1'],
  ],
  [
    'several CNs that are SANs, the last one first',
    () =>
      toDer({ subject: '/CN=a.example.org/CN=b.example.org', names: 'DNS:a.example.org,DNS:b.example.org' }),
    ['dns:b.example.org', 'dns:a.example.org'],
  ],
  [
    'CA:FALSE and key usages',
    () => toDer({ ...wanted, extensions: ['basicConstraints=CA:FALSE', 'keyUsage=digitalSignature'] }),
    ['dns:example.org'],
  ],
  ['must-staple', () => toDer({ ...wanted, extensions: ['tlsfeature=status_request'] }), ['dns:example.org']],
  [
    'a challenge password',
    () =>
      handmadeCsr({
        attributes: [
          der(0x30, der(0x06, Buffer.from('2a864886f70d010907', 'hex')), der(0x31, utf8('x'))),
          asking('example.org'),
        ],
      }),
    ['dns:example.org'],
  ],
  [
    "Microsoft's attribute",
    () =>
      handmadeCsr({
        attributes: [extensionAttribute(oid.microsoftExtensions, alternativeNames('example.org'))],
      }),
    ['dns:example.org'],
  ],
  [
    'a CN in UTF-16',
    () => handmadeCsr({ common: der(0x1e, Buffer.from('example.org', 'utf16le').swap16()) }),
    ['dns:example.org'],
  ],
  ['an RSA key', () => toDer({ key: rsaKey(), ...wanted }), ['dns:example.org']],
  [
    'a P-384 key and SHA-384',
    () => toDer({ key: ecKey('P-384'), ...wanted, options: ['-sha384'] }),
    ['dns:example.org'],
  ],
  [
    'a P-521 key and SHA-512',
    () => toDer({ key: ecKey('P-521'), ...wanted, options: ['-sha512'] }),
    ['dns:example.org'],
  ],
  [
    'a PSS signature',
    () =>
      toDer({
        key: rsaKey(),
        ...wanted,
        options: ['-sha256', '-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:digest'],
      }),
    ['dns:example.org'],
  ],
];

for (const [what, csr, names] of accepted) {
  test(`parseCsr() accepts ${what}`, () => assert.deepEqual(namesOf(csr()), names));
}

test('parseCsr() accepts 100 names', () => {
  assert.equal(namesOf(toDer({ subject: '/CN=n3.example.org', names: manyNames(100) })).length, 100);
});

const withNames = (names: string) => () => toDer({ names });
const withKey =
  (...options: string[]) =>
  () =>
    toDer({ key: keyFile(...options), ...wanted });
const signedWith =
  (...options: string[]) =>
  () =>
    toDer({ key: rsaKey(), ...wanted, options });
const long = `${'a'.repeat(63)}.`;

const refused: [what: string, csr: () => Buffer, reason: RegExp][] = [
  ['no name at all', () => toDer({}), /names no host/],
  ['only a CN for people', () => toDer({ subject: '/CN=My server' }), /names no host/],
  ['SANs without any', () => handmadeCsr({ attributes: [asking()] }), /names no host/],
  ['an e-mail name', withNames('DNS:example.org,email:root@example.org'), /kind e-mail/],
  ['a URI', withNames('DNS:example.org,URI:https://example.org/'), /kind URI/],
  ['a registered ID', withNames('DNS:example.org,RID:1.2.3.4'), /kind registered ID/],
  ['an other name', withNames('DNS:example.org,otherName:1.2.3.4;UTF8:hello'), /kind other/],
  [
    'a directory name',
    () => toDer({ names: 'dirName:d', extensions: ['[d]', 'CN=example.org'] }),
    /kind directory/,
  ],
  ['CA:true', () => toDer({ ...wanted, extensions: ['basicConstraints=critical,CA:true'] }), /CA:TRUE/],
  [
    'a second CN that is not in the SANs',
    () => toDer({ subject: '/CN=evil.example.net/CN=example.org', ...wanted }),
    /"evil\.example\.net" is not among the SANs/,
  ],
  [
    'a last CN that is not in the SANs',
    () => toDer({ subject: '/CN=example.org/CN=evil.example.net', ...wanted }),
    /"evil\.example\.net" is not among the SANs/,
  ],
  ['two CNs without SANs', () => toDer({ subject: '/CN=example.org/CN=example.net' }), /not among the SANs/],
  [
    'an empty CN',
    () => handmadeCsr({ common: utf8(''), attributes: [asking('example.org')] }),
    /common name is empty/,
  ],
  [
    'a CN that is not text',
    () => handmadeCsr({ common: der(0x02, Buffer.from([1])), attributes: [asking('example.org')] }),
    /common name is not text/,
  ],
  [
    'a CN that is an address and no SAN',
    () => toDer({ subject: '/CN=192.0.2.1', ...wanted }),
    /192\.0\.2\.1 is not among the IP SANs/,
  ],
  [
    'a malformed host name as CN',
    () => toDer({ subject: '/CN=my_server.example.org', ...wanted }),
    /"my_server\.example\.org"/,
  ],
  ['an empty name', withNames('DER:30:02:82:00'), /malformed name ""/],
  ['an underscore', withNames('DNS:a_b.example.org'), /letters, digits and inner hyphens/],
  ['a trailing dot', withNames('DNS:example.org.'), /ends in a dot/],
  ['an empty label', withNames('DNS:a..example.org'), /empty label/],
  ['a leading dot', withNames('DNS:.example.org'), /empty label/],
  ['a leading hyphen', withNames('DNS:-a.example.org'), /letters, digits and inner hyphens/],
  ['a trailing hyphen', withNames('DNS:a-.example.org'), /letters, digits and inner hyphens/],
  ['a blank', withNames('DNS:a b.example.org'), /letters, digits and inner hyphens/],
  [
    'a NUL',
    () => handmadeCsr({ attributes: [asking('example.org\0.example.net')] }),
    /letters, digits and inner hyphens/,
  ],
  [
    'a line feed, which stays out of the message',
    () => handmadeCsr({ attributes: [asking('a\nb.example.org')] }),
    /"a\\nb\.example\.org"/,
  ],
  ['a U-label', () => handmadeCsr({ attributes: [asking('müller.example')] }), /"müller\.example".*A-labels/],
  ['a broken A-label', withNames('DNS:xn--zz--zz.example'), /invalid A-label/],
  ['a label of 64 characters', withNames(`DNS:a${long}org`), /longer than 63/],
  ['a name of 254 characters', withNames(`DNS:${long.repeat(3)}${'a'.repeat(62)}`), /longer than 253/],
  ['an address as DNS name', withNames('DNS:192.0.2.1'), /last label is a number/],
  ['a bare *', withNames('DNS:*'), /at least two labels/],
  ['a wildcard of a top-level domain', withNames('DNS:*.org'), /at least two labels/],
  ['a partial wildcard', withNames('DNS:w*.example.org'), /alone and leftmost/],
  ['an inner wildcard', withNames('DNS:www.*.example.org'), /alone and leftmost/],
  ['an IP name of 5 bytes', withNames('DER:30:07:87:05:c0:00:02:01:00'), /IPv4 or an IPv6/],
  ['an IP network', withNames('DER:30:0a:87:08:c0:00:02:01:ff:ff:ff:00'), /IPv4 or an IPv6/],
  ['an IPv4 address in IPv6 form', withNames('IP:::ffff:192.0.2.1'), /IPv4 or an IPv6/],
  ['101 names', withNames(manyNames(101)), /101 names; at most 100/],
  ['SANs that are not a sequence', withNames('DER:04:00'), /alternative names are malformed/],
  ['SANs followed by other bytes', withNames('DER:30:03:82:01:61:05:00'), /2\.5\.29\.17 is malformed/],
  ['a constructed DNS name', withNames('DER:30:05:a2:03:16:01:61'), /alternative name is malformed/],
  [
    'two SAN extensions',
    () => handmadeCsr({ attributes: [asking('a.example.org'), asking('b.example.org')] }),
    /2\.5\.29\.17 twice/,
  ],
  [
    'an attribute that is none',
    () => handmadeCsr({ attributes: [asking('example.org'), der(0x05)] }),
    /cannot be parsed/,
  ],
  [
    'an element behind the attributes',
    () => handmadeCsr({ attributes: [asking('example.org')], more: [asking('b.example.org')] }),
    /cannot be parsed/,
  ],
  [
    'extensions that are none',
    () => handmadeCsr({ attributes: [extensionAttribute(oid.extensionRequest, der(0x05))] }),
    /cannot be parsed/,
  ],
  ['an RSA key of 1024 bits', withKey('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'), /1024 bits/],
  ['an RSA key of 2047 bits', withKey('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2047'), /2047 bits/],
  [
    'the exponent 3',
    withKey('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-pkeyopt', 'rsa_keygen_pubexp:3'),
    /exponent is not 65537/,
  ],
  [
    'the curve secp256k1',
    withKey('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'),
    /curve is not one of P-256, P-384, P-521/,
  ],
  [
    'the curve P-224',
    withKey('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-224'),
    /curve is not one of/,
  ],
  [
    'a curve spelled out',
    withKey('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-pkeyopt', 'ec_param_enc:explicit'),
    /does not name its curve/,
  ],
  ['an Ed25519 key', withKey('-algorithm', 'ED25519'), /neither RSA nor EC/],
  [
    'an RSA-PSS key',
    withKey('-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'),
    /neither RSA nor EC/,
  ],
  ['an MD5 signature', signedWith('-md5'), /signed with MD5/],
  ['a SHA-1 signature', signedWith('-sha1'), /signed with SHA-1/],
  ['a SHA-1 signature of an EC key', () => toDer({ ...wanted, options: ['-sha1'] }), /signed with SHA-1/],
  ['a PSS signature with SHA-1', signedWith('-sha1', '-sigopt', 'rsa_padding_mode:pss'), /signed with SHA-1/],
  [
    'a PSS signature with another hash in its mask',
    signedWith('-sha256', '-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_mgf1_md:sha1'),
    /PSS parameters/,
  ],
  ['a SHA-224 signature', signedWith('-sha224'), /not supported/],
];

for (const [what, csr, reason] of refused) {
  test(`parseCsr() refuses ${what}`, () => assertRefused(csr(), reason));
}

test('parseCsr() refuses an RSA key over 8192 bits', () => {
  const modulus = Buffer.alloc(1057, 0xff).fill(0, 0, 1);
  const rsa = der(0x30, der(0x02, modulus), der(0x02, Buffer.from([1, 0, 1])));
  const algorithm = der(0x30, der(0x06, Buffer.from('2a864886f70d010101', 'hex')), der(0x05));
  const key = der(0x30, algorithm, der(0x03, Buffer.from([0]), rsa));
  const info = der(0x30, der(0x02, Buffer.from([0])), der(0x30), key, der(0xa0, asking('example.org')));
  assertRefused(der(0x30, info, der(0x30, oid.ecdsaWithSha256), der(0x03, Buffer.alloc(9))), /at most 8192/);
});

test('parseCsr() refuses a CSR whose signature does not verify', () => {
  for (const key of [ecKey(), rsaKey()]) {
    const csr = toDer({ key, ...wanted });
    csr[csr.length - 1] = (csr.at(-1) ?? 0) ^ 1;
    assertRefused(csr, /signature does not verify/);
  }
});

test('parseCsr() refuses a CSR whose names were changed after it was signed', () => {
  const csr = toDer(wanted);
  csr.write('f', csr.indexOf('example.org'));
  assertRefused(csr, /signature does not verify/);
});

test('parseCsr() refuses a CSR that is followed by other bytes', () => {
  assertRefused(Buffer.concat([toDer(wanted), Buffer.from([0])]), /followed by other bytes/);
});
