import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { type Certificate, decodePem, encodePem, readCertificate } from '../../../shared/pki/certificate.ts';
import { readByNode } from '../../../shared/pki/certificate-by-node.ts';
import { readCertificateIds } from '../../../shared/pki/certificate-ids.ts';
import { parseCsr } from '../../../shared/pki/csr.ts';
import { contentOf, readDer, wholeOf } from '../../../shared/pki/der.ts';
import { alternativeNames, der, extensionAttribute, handmadeCsr, oid, signedCsr } from './handmade-csr.ts';
import { makeCertificate, makeIssued } from './openssl-csr.ts';
import { readCertificateByPkijs, readCsrByPkijs } from './read-by-pkijs.ts';
import { rfc9773Certificate } from './rfc9773-certificate.ts';
import { seededRandom } from './seeded-random.ts';

// What the product's own reader accepts, a library is to read alike: a name that only one of them sees would
// pass the auth blocks unseen, or be certified unasked.

const ROUNDS = 2_000;

const asking = (...names: string[]) => extensionAttribute(oid.extensionRequest, alternativeNames(...names));
const password = der(
  0x30,
  der(0x06, Buffer.from('2a864886f70d010907', 'hex')),
  der(0x31, der(0x13, Buffer.from('x'))),
);
const addresses = der(
  0x30,
  oid.subjectAltName,
  der(0x04, der(0x30, der(0x87, Buffer.from([192, 0, 2, 1])), der(0x87, Buffer.alloc(16, 0x20)))),
);
const infoOf = (csr: Buffer) => wholeOf(readDer(csr).parts[0] ?? assert.fail());

const longer = 'a length takes more bytes than it needs, which is BER';
const stray = 'a BIT STRING has bits that do not count';
const nested = (levels: number) => {
  let element: Buffer = Buffer.alloc(0);
  for (let level = 0; level < levels; level++) element = der(0x30, element);
  return element.toString('hex');
};
const list = (length: number) => der(0x30, ...Array.from({ length }, () => der(0x05))).toString('hex');

const seeds: [what: string, csr: Buffer][] = [
  [
    'of one name',
    handmadeCsr({ common: der(0x0c, Buffer.from('a.example')), attributes: [asking('a.example')] }),
  ],
  ['of more names', handmadeCsr({ attributes: [password, asking('a.example', 'b.example', '*.c.example')] })],
  ['with a CN in UTF-16', handmadeCsr({ common: der(0x1e, Buffer.from('a.example', 'utf16le').swap16()) })],
  ['of addresses', handmadeCsr({ attributes: [extensionAttribute(oid.extensionRequest, addresses)] })],
];

/** Changes a few bytes at random: other bits, other values, and those of the neighbour. */
function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  const changed = Buffer.from(bytes);
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const at = random(changed.length);
    const old = changed[at] ?? 0;
    const others = [old ^ (1 << random(8)), random(256), changed[(at + 1) % changed.length] ?? 0];
    changed[at] = others[random(others.length)] ?? 0;
  }
  return changed;
}

function namesOf(csr: Buffer): string[] | undefined {
  try {
    return parseCsr(csr).identifiers.map(({ type, value }: Identifier) => `${type}:${value}`);
  } catch (error) {
    assert.ok(error instanceof IssuanceError && error.code === 'badCsr', `${error}: ${csr.toString('hex')}`);
    return undefined;
  }
}

for (const [what, csr] of seeds) {
  test(`parseCsr() reads a CSR ${what} as pkijs does, in ${ROUNDS} mutations that are rightly signed`, () => {
    const random = seededRandom(9773);
    let accepted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const mutated = signedCsr(mutate(infoOf(csr), random));
      const names = namesOf(mutated);
      if (!names) continue;
      accepted++;
      const { commonNames, sans } = readCsrByPkijs(mutated);
      const common = names.filter(name => !sans.includes(name));
      const where = mutated.toString('hex');
      assert.deepEqual(names.filter(name => sans.includes(name)).sort(), [...new Set(sans)].sort(), where);
      for (const name of common) {
        assert.ok(
          commonNames.some(text => text.toLowerCase() === name.replace(/^dns:/, '')),
          where,
        );
      }
      // A CN with a dot and no space is meant as a name.
      const meant = commonNames.filter(text => /^[\w.-]+\.[\w.-]+$/.test(text));
      for (const text of meant) assert.ok(names.includes(`dns:${text.toLowerCase()}`), where);
    }
    assert.ok(accepted > 10, `${accepted} were accepted`);
  });
}

test(`certificates are read as pkijs reads them, in ${ROUNDS} mutations`, () => {
  const random = seededRandom(5280);
  const original = wholeOf(readDer(Buffer.from(rfc9773Certificate.replace(/-----.*/g, ''), 'base64')));
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const mutated = mutate(original, random);
    const pem = encodePem('CERTIFICATE', mutated);
    let byPkijs: ReturnType<typeof readCertificateByPkijs>;
    let read: ReturnType<typeof readCertificateIds> & { publicKey: Buffer };
    try {
      read = { ...readCertificateIds(pem), publicKey: readCertificate(pem).publicKey };
    } catch {
      continue;
    }
    try {
      byPkijs = readCertificateByPkijs(mutated);
    } catch (error) {
      // OpenSSL reads the times, and some that pkijs does not.
      assert.match(`${error}`, /Wrong input string for conversion/);
      continue;
    }
    accepted++;
    assert.deepEqual(read, byPkijs, mutated.toString('hex'));
  }
  assert.ok(accepted > 10, `${accepted} were accepted`);
});

/** What it says; `undefined` of one that is damaged. */
function read(by: (der: Buffer) => Certificate, certificate: Buffer): Certificate | undefined {
  try {
    return by(certificate);
  } catch {
    return undefined;
  }
}

for (const [what, pem] of [
  ['of a CA', rfc9773Certificate],
  ['of names and addresses', makeCertificate({ names: 'DNS:a.example,DNS:*.B.example,IP:192.0.2.1,IP:::1' })],
  ['without names', makeCertificate()],
  ['of a CA without a name', makeIssued({ issuer: '/' }).leaf],
] as const)
  test(`a certificate ${what} is read as Node reads it, in ${ROUNDS} mutations`, () => {
    const random = seededRandom(509);
    const original = decodePem(pem, ['CERTIFICATE']);
    let accepted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const mutated = round === 0 ? original : mutate(original, random);
      const byNode = read(readByNode, mutated);
      assert.deepEqual(read(readCertificate, mutated), byNode, mutated.toString('hex'));
      if (byNode) accepted++;
    }
    assert.ok(accepted > 10, `${accepted} were accepted`);
  });

const damaged: [what: string, hex: string, fault: string][] = [
  ['nothing', '', 'an element is missing (at byte 0)'],
  ['a tag alone', '30', 'a length is missing (at byte 1)'],
  ['a tag of several bytes', '1f8101 00', 'a tag takes more than one byte (at byte 0)'],
  ['a tag that is 0', '30020000', 'a tag is 0 (at byte 2)'],
  ['an indefinite length', '30800000', 'a length is indefinite, which is BER (at byte 1)'],
  ['a length that is longer than it need be', '0c810161', `${longer} (at byte 1)`],
  ['a length of two bytes where one does', `0c820081${'61'.repeat(129)}`, `${longer} (at byte 1)`],
  ['a length beyond the end', '0c0261', 'a length goes beyond the end (at byte 1)'],
  ['a length of four bytes', '0c840000000161', 'a length goes beyond the end (at byte 1)'],
  ['a part that goes beyond the whole', '30030c0261', 'a length goes beyond the end (at byte 3)'],
  ['a constructed string', '2c020c00', 'a string is in pieces, which is BER (at byte 0)'],
  ['a primitive sequence', '1000', 'a SEQUENCE or SET has no elements (at byte 0)'],
  ['a boolean that is neither true nor false', '3003010101', 'a BOOLEAN is neither 00 nor FF (at byte 2)'],
  ['an empty integer', '0200', 'an INTEGER is empty or has a byte too many (at byte 0)'],
  ['an integer with a zero too many', '02020001', 'an INTEGER is empty or has a byte too many (at byte 0)'],
  ['an integer with a one too many', '0202ff80', 'an INTEGER is empty or has a byte too many (at byte 0)'],
  ['a bit string without its first byte', '0300', `${stray} (at byte 0)`],
  ['a bit string of no bits that lacks some', '030101', `${stray} (at byte 0)`],
  ['a bit string that lacks more than seven bits', '03020800', `${stray} (at byte 0)`],
  ['a bit string whose missing bits are set', '03020401', `${stray} (at byte 0)`],
  ['a null that holds something', '050100', 'a NULL has content (at byte 0)'],
  ['an empty OID', '0600', 'an OBJECT IDENTIFIER is malformed (at byte 0)'],
  ['an OID that is too long', `0641${'2a'.repeat(65)}`, 'an OBJECT IDENTIFIER is malformed (at byte 0)'],
  ['an OID that does not end', '060188', 'an OBJECT IDENTIFIER is malformed (at byte 0)'],
  ['an OID with a number in a longer form', '0603558001', 'an OBJECT IDENTIFIER is malformed (at byte 0)'],
  ['nesting of more than 20 elements', nested(22), 'elements are nested more than 20 deep (at byte 42)'],
  ['more than 1,000 elements', list(1_000), 'there are more than 1000 elements (at byte 2002)'],
];

for (const [what, hex, fault] of damaged) {
  test(`readDer() refuses ${what}, and says so`, () => {
    const bytes = Buffer.from(hex.replace(' ', ''), 'hex');
    assert.throws(() => readDer(bytes), { name: 'SyntaxError', message: fault });
  });
}

test('readDer() takes bit strings whose missing bits are zero, 20 levels, and 1,000 elements', () => {
  for (const hex of ['030204f0', '030100', nested(21), list(999)])
    assert.equal(readDer(Buffer.from(hex, 'hex')).end, hex.length / 2);
});

test('readDer() reads one element, and says where it ends', () => {
  const read = readDer(Buffer.from('30050201050500ff', 'hex'));
  assert.equal(read.end, 7);
  assert.deepEqual(read.parts.map(contentOf), [Buffer.from([5]), Buffer.alloc(0)]);
});
