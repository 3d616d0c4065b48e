import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { alternativeNames, extensionAttribute, handmadeCsr, oid } from './handmade-csr.ts';
import { makeCsr, rsaKey } from './openssl-csr.ts';
import { seededRandom } from './seeded-random.ts';

/** The names, or undefined when it was refused with `badCsr`; anything else fails the test. */
function namesOf(csr: Buffer): Identifier[] | undefined {
  try {
    return parseCsr(csr).identifiers;
  } catch (error) {
    assert.ok(
      error instanceof IssuanceError && error.code === 'badCsr',
      `${error} for ${csr.toString('hex')}`,
    );
    return undefined;
  }
}

function assertRefused(csr: Buffer): void {
  assert.equal(namesOf(csr), undefined, csr.toString('hex'));
}

const names = 'DNS:example.org,IP:192.0.2.1';
const read = (pem: string) => readCsr(Buffer.from(pem)).der;
const seeds: [what: string, csr: Buffer][] = [
  [
    'an EC',
    read(makeCsr({ subject: '/O=x/CN=example.org', names, extensions: ['basicConstraints=CA:FALSE'] })),
  ],
  ['an RSA', read(makeCsr({ key: rsaKey(), names }))],
  ['a PSS', read(makeCsr({ key: rsaKey(), names, options: ['-sigopt', 'rsa_padding_mode:pss'] }))],
  [
    'a handmade',
    handmadeCsr({
      attributes: [oid.microsoftExtensions, oid.extensionRequest].map(type =>
        extensionAttribute(type, alternativeNames('a.org')),
      ),
    }),
  ],
];

for (const [what, csr] of seeds) {
  test(`parseCsr() answers 500 flips of bits in ${what} CSR with badCsr or its names`, () => {
    const random = seededRandom(20260);
    for (let round = 0; round < 500; round++) {
      const changed = Buffer.from(csr);
      for (let flips = 1 + random(3); flips > 0; flips--) {
        const at = random(changed.length);
        changed[at] = (changed[at] ?? 0) ^ (1 << random(8));
      }
      // The bits of the outer algorithm's parameters are not signed, so that a few flips do no harm.
      const names = namesOf(changed);
      if (names) assert.deepEqual(names, namesOf(csr));
    }
  });

  test(`parseCsr() answers every truncation of ${what} CSR with badCsr`, () => {
    for (let length = 0; length < csr.length; length++) assertRefused(csr.subarray(0, length));
  });
}

test('parseCsr() answers random bytes with badCsr', () => {
  const random = seededRandom(7);
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(Array.from({ length: random(200) }, () => random(256)));
    assertRefused(bytes);
  }
});

test('parseCsr() answers deep nesting with badCsr', () => {
  assertRefused(Buffer.from('3080'.repeat(100_000), 'hex'));
  assertRefused(Buffer.from('a080'.repeat(100_000), 'hex'));
});

test('parseCsr() answers huge and odd lengths with badCsr', () => {
  const heads = [
    '3084ffffffff',
    '3088ffffffffffffffff',
    '30ff',
    '3080',
    '30847fffffff0201',
    '3083ffffff',
    '1f8fffffff7f00',
    '00',
    '0000',
  ];
  for (const head of heads) assertRefused(Buffer.from(`${head}020100`, 'hex'));
});
