import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { alternativeNames, der, extensionAttribute, handmadeCsr, oid } from './handmade-csr.ts';
import { type CsrOptions, ecKey, keyFile, makeCsr, manyNames, openssl, rsaKey } from './openssl-csr.ts';

const made = new Map<string, string>();

/** One CSR is enough for all that ask for the same. */
function toDer(options: CsrOptions): Buffer {
  const what = JSON.stringify(options);
  const pem = made.get(what) ?? makeCsr(options);
  made.set(what, pem);
  return readCsr(Buffer.from(pem)).der;
}

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
const microsoft = (...names: string[]) =>
  extensionAttribute(oid.microsoftExtensions, alternativeNames(...names));
const keyUsage = der(
  0x30,
  der(0x06, Buffer.from('551d0f', 'hex')),
  der(0x04, der(0x03, Buffer.from('05a0', 'hex'))),
);
/** 2.25 and a number of 35 bits. */
const uuid = der(0x06, Buffer.from('69ffffffff7f', 'hex'));
/** An attribute of the subject that is no CN. */
const organization = (value: Buffer) =>
  der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from('55040a', 'hex')), value)));

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
    "the same extensions in Microsoft's attribute and in PKCS #9's",
    () => handmadeCsr({ attributes: [microsoft('example.org'), asking('example.org')] }),
    ['dns:example.org'],
  ],
  [
    "no more than a key usage in Microsoft's attribute",
    () =>
      handmadeCsr({
        attributes: [asking('example.org'), extensionAttribute(oid.microsoftExtensions, keyUsage)],
      }),
    ['dns:example.org'],
  ],
  [
    'the version of a certificate, as some tools write it',
    () => handmadeCsr({ version: 2, attributes: [asking('example.org')] }),
    ['dns:example.org'],
  ],
  [
    'an attribute of a UUID, which no reader looks at',
    () => handmadeCsr({ attributes: [asking('example.org'), der(0x30, uuid, der(0x31))] }),
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
];

for (const [what, csr, names] of accepted) {
  test(`parseCsr() accepts ${what}`, () => assert.deepEqual(namesOf(csr()), names));
}

for (const [what, csr] of accepted) {
  test(`parseCsr() finds nothing unusual in ${what}`, () => assert.equal(parseCsr(csr()).unusual, undefined));
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

/** basicConstraints with CA:TRUE in BER. */
const berTrue = der(
  0x30,
  der(0x06, Buffer.from('551d13', 'hex')),
  der(0x01, Buffer.from([1])),
  der(0x04, der(0x30)),
);
const malformedStrings: [what: string, value: Buffer][] = [
  ['an @ in a PrintableString', der(0x13, Buffer.from('a@b'))],
  ['UTF-8 that is none', der(0x0c, Buffer.from([0xff]))],
  ['an IA5String beyond ASCII', der(0x16, Buffer.from([0xe9]))],
  ['a letter in a NumericString', der(0x12, Buffer.from('1a'))],
  ['a surrogate in a BMPString', der(0x1e, Buffer.from([0xd8, 0]))],
  ['a UniversalString', der(0x1c, Buffer.from([0, 0, 0, 0x61]))],
  ['a VisibleString', der(0x1a, Buffer.from('a'))],
  ['a number in the subject', der(0x02, Buffer.from([1]))],
];
const manyCommonNames = (count: number) =>
  der(0x30, ...Array.from({ length: count }, () => der(0x31, der(0x30, oid.commonName, utf8('a')))));
const rsaOid = der(0x06, Buffer.from('2a864886f70d010101', 'hex'));
const plainRsa = der(0x30, rsaOid, der(0x05));
const rsaNumbers = der(0x30, der(0x02, Buffer.from([5])), der(0x02, Buffer.from([3])));
const rsaInfo = (algorithm: Buffer, ...key: Buffer[]) =>
  der(0x30, algorithm, der(0x03, Buffer.from([0]), ...key));
const p256 = der(0x30, Buffer.from('06072a8648ce3d020106082a8648ce3d030107', 'hex'));
const ecInfo = (point: Buffer) => der(0x30, p256, der(0x03, Buffer.from([0]), point));
const pss = ['-sigopt', 'rsa_padding_mode:pss'];
function compressed(): string {
  const file = `${ecKey()}.compressed`;
  openssl('ec', '-in', ecKey(), '-conv_form', 'compressed', '-out', file);
  return file;
}

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
    /a value is no string, or a malformed one \(at byte 20\)/,
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
  [
    'SANs that are not a sequence',
    withNames('DER:04:00'),
    /2\.5\.29\.17 is malformed: a SEQUENCE is expected/,
  ],
  [
    'SANs followed by other bytes',
    withNames('DER:30:03:82:01:61:05:00'),
    /2\.5\.29\.17 is malformed: other bytes follow/,
  ],
  ['a constructed DNS name', withNames('DER:30:05:a2:03:16:01:61'), /alternative name is malformed/],
  [
    'two SAN extensions',
    () =>
      handmadeCsr({
        attributes: [
          extensionAttribute(oid.extensionRequest, alternativeNames('a.org'), alternativeNames('b.org')),
        ],
      }),
    /asks for extension 2\.5\.29\.17 twice/,
  ],
  [
    'the same SAN extension twice',
    () =>
      handmadeCsr({
        attributes: [
          extensionAttribute(oid.extensionRequest, alternativeNames('a.org'), alternativeNames('a.org')),
        ],
      }),
    /asks for extension 2\.5\.29\.17 twice/,
  ],
  [
    'two attributes that ask for extensions',
    () => handmadeCsr({ attributes: [asking('a.example.org'), asking('a.example.org')] }),
    /attribute 1\.2\.840\.113549\.1\.9\.14 twice/,
  ],
  [
    'two lists of extensions in one attribute',
    () => {
      const list = der(0x30, alternativeNames('a.org'));
      return handmadeCsr({ attributes: [der(0x30, oid.extensionRequest, der(0x31, list, list))] });
    },
    /requested extensions are not one list/,
  ],
  [
    'an attribute that asks for extensions and has none',
    () => handmadeCsr({ attributes: [der(0x30, oid.extensionRequest, der(0x31))] }),
    /requested extensions are not one list/,
  ],
  [
    "other names in Microsoft's attribute than in PKCS #9's",
    () => handmadeCsr({ attributes: [microsoft('a.org'), asking('b.org')] }),
    /extension 2\.5\.29\.17 in two attributes, and not for the same/,
  ],
  [
    "names in Microsoft's attribute alone",
    () => handmadeCsr({ common: utf8('a.org'), attributes: [microsoft('a.org')] }),
    /Microsoft's attribute 1\.3\.6\.1\.4\.1\.311\.2\.1\.14 alone, which CAs do not read: ask for them in extensionRequest/,
  ],
  ['no attributes element', () => handmadeCsr({ attributes: false }), /lacks its attributes element/],
  [
    'a version that no tool writes',
    () => handmadeCsr({ version: 3, attributes: [asking('example.org')] }),
    /version that is not known/,
  ],
  [
    'BER in place of DER',
    () => handmadeCsr({ attributes: [extensionAttribute(oid.extensionRequest, berTrue)] }),
    /cannot be parsed: a BOOLEAN is neither 00 nor FF \(at byte \d+\)/,
  ],
  [
    'a UUID as extension',
    () =>
      handmadeCsr({
        attributes: [extensionAttribute(oid.extensionRequest, der(0x30, uuid, der(0x04, der(0x05))))],
      }),
    /OBJECT IDENTIFIER has a number of more than 28 bits/,
  ],
  ...malformedStrings.map(([what, value]): [string, () => Buffer, RegExp] => [
    what,
    () => handmadeCsr({ subject: organization(value), attributes: [asking('example.org')] }),
    /a value is no string, or a malformed one/,
  ]),
  [
    'more CNs than names are taken',
    () => handmadeCsr({ subject: manyCommonNames(101), attributes: [asking('example.org')] }),
    /has 101 common names; at most 100/,
  ],
  [
    'more elements than any CSR needs',
    () => handmadeCsr({ subject: manyCommonNames(250), attributes: [asking('example.org')] }),
    /more than 1000 elements/,
  ],
  [
    'an RSA key without the NULL',
    () => handmadeCsr({ key: rsaInfo(der(0x30, rsaOid), rsaNumbers), attributes: [asking('example.org')] }),
    /lacks the NULL .* such as openssl req/,
  ],
  [
    'an RSA key that is followed by other bytes',
    () => handmadeCsr({ key: rsaInfo(plainRsa, rsaNumbers, der(0x05)), attributes: [asking('example.org')] }),
    /cannot be parsed: other bytes follow/,
  ],
  [
    'an RSA key of three numbers',
    () =>
      handmadeCsr({
        key: rsaInfo(
          plainRsa,
          der(0x30, der(0x02, Buffer.from([5])), der(0x02, Buffer.from([3])), der(0x02, Buffer.from([3]))),
        ),
        attributes: [asking('example.org')],
      }),
    /cannot be parsed: there is an element too many/,
  ],
  [
    'a compressed point',
    () => toDer({ key: compressed(), ...wanted }),
    /point is compressed, .* openssl ec -conv_form uncompressed/,
  ],
  [
    'a point that is not on the curve',
    () =>
      handmadeCsr({
        key: ecInfo(Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)])),
        attributes: [asking('example.org')],
      }),
    /public key is malformed, or not on its curve/,
  ],
  [
    'a point at infinity',
    () => handmadeCsr({ key: ecInfo(Buffer.from([0])), attributes: [asking('example.org')] }),
    /EC key is malformed/,
  ],
  [
    'a point in the hybrid form',
    () =>
      handmadeCsr({
        key: ecInfo(Buffer.concat([Buffer.from([6]), Buffer.alloc(64, 1)])),
        attributes: [asking('example.org')],
      }),
    /EC key is malformed/,
  ],
  [
    'half a character of a BMPString',
    () => handmadeCsr({ subject: organization(der(0x1e, Buffer.from([0, 0x61, 0]))) }),
    /cannot be parsed: a part of a character is missing/,
  ],
  [
    'a part of a character in an attribute that nobody reads',
    () =>
      handmadeCsr({
        attributes: [asking('example.org'), der(0x30, uuid, der(0x31, der(0x1c, Buffer.from('a'))))],
      }),
    /cannot be parsed: a part of a character is missing/,
  ],
  ['a SHA-1 salt', signedWith('-sha256', ...pss, '-sigopt', 'rsa_pss_saltlen:20'), /PSS parameters/],

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

const unusual: [what: string, csr: () => Buffer, why: RegExp][] = [
  [
    'a P-521 key and SHA-512',
    () => toDer({ key: ecKey('P-521'), ...wanted, options: ['-sha512'] }),
    /P-521; take P-256 or P-384/,
  ],
  [
    'a PSS signature',
    () =>
      toDer({ key: rsaKey(), ...wanted, options: ['-sha256', ...pss, '-sigopt', 'rsa_pss_saltlen:digest'] }),
    /signed by RSASSA-PSS/,
  ],
  [
    'the exponent 65539',
    withKey('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-pkeyopt', 'rsa_keygen_pubexp:65539'),
    /exponent is not 65537/,
  ],
];

for (const [what, csr, why] of unusual) {
  test(`parseCsr() leaves ${what} to CAs that take more than the public ones`, () => {
    assert.match(parseCsr(csr()).unusual ?? '', why);
    assert.deepEqual(namesOf(csr()), ['dns:example.org']);
  });
}

test('a key whose point was compressed is good once it is written as the refusal says', () => {
  const file = `${ecKey()}.uncompressed`;
  openssl('ec', '-in', compressed(), '-conv_form', 'uncompressed', '-out', file);
  assert.deepEqual(namesOf(toDer({ key: file, ...wanted })), ['dns:example.org']);
});

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
  assertRefused(Buffer.concat([toDer(wanted), Buffer.from([0])]), /other bytes follow/);
});
