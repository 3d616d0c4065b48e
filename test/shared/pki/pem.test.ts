import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePem, encodePem, joinChain, splitChain } from '../../../shared/pki/certificate.ts';
import { makeCertificate, makeCsr } from './openssl-csr.ts';

const label = 'CERTIFICATE REQUEST';
const csr = makeCsr({ names: 'DNS:example.org,DNS:www.example.org' });
const der = decodePem(csr, [label]);

test('encodePem() prints what openssl prints', () => {
  assert.equal(encodePem(label, der), csr);
  assert.equal(
    encodePem('CERTIFICATE', decodePem(makeCertificate(), ['CERTIFICATE'])).slice(0, 28),
    '-----BEGIN CERTIFICATE-----\n',
  );
});

test('encodePem() breaks lines at 64 columns, and adds no empty line', () => {
  assert.equal(encodePem('X', Buffer.alloc(48)), `-----BEGIN X-----\n${'A'.repeat(64)}\n-----END X-----\n`);
});

const spellings: Record<string, string> = {
  'CR LF line ends': csr.replaceAll('\n', '\r\n'),
  'CR line ends': csr.replaceAll('\n', '\r'),
  'no final newline': csr.trimEnd(),
  'blank lines': csr.replaceAll('\n', '\n\n'),
  'blanks at the ends of lines': csr.replaceAll('\n', ' \t\n'),
  'a byte order mark': `\ufeff${csr}`,
  'text around it': `Grüße, here it is:\n\n${csr}\nThanks!\n`,
  'openssl -text before it': `Certificate Request:\n    Data:\n        Version: 1 (0x0)\n${csr}`,
  'one long line': csr.replace(/(?<=-----\n)[^-]*(?=\n-----)/, base64 => base64.replaceAll('\n', '')),
  'a block with another label before it': `${makeCertificate()}${csr}`,
};

for (const [what, text] of Object.entries(spellings)) {
  test(`decodePem() reads a block with ${what}`, () => assert.deepEqual(decodePem(text, [label]), der));
}

const damages: Record<string, string> = {
  'no block': 'hello',
  'no text': '',
  'another label': makeCertificate(),
  'no end': csr.slice(0, -20),
  'an end with another label': csr.replace('END CERTIFICATE REQUEST', 'END CERTIFICATE'),
  'an empty block': `-----BEGIN ${label}-----\n-----END ${label}-----\n`,
  'a character that is not base64': csr.replace(/^MI/m, 'M!'),
  base64url: `-----BEGIN ${label}-----\n_-8=\n-----END ${label}-----\n`,
  'no padding': `-----BEGIN ${label}-----\nAAA\n-----END ${label}-----\n`,
  'padding inside': `-----BEGIN ${label}-----\nAA==AAAA\n-----END ${label}-----\n`,
  'bits behind the last byte': `-----BEGIN ${label}-----\nAB==\n-----END ${label}-----\n`,
};

for (const [what, text] of Object.entries(damages)) {
  test(`decodePem() refuses ${what}`, () => assert.throws(() => decodePem(text, [label])));
}

test('joinChain() puts one blank line between certificates, and splitChain() takes them apart again', () => {
  const pems = [makeCertificate(), makeCertificate({ names: 'DNS:ca.example.org' })];
  const chain = joinChain(pems.map(pem => pem.trimEnd()));
  assert.equal(chain, pems.join('\n'));
  assert.deepEqual(splitChain(chain), pems);
  assert.deepEqual(splitChain(pems.join('').replaceAll('\n', '\r\n')), pems);
});

test('splitChain() refuses a text without certificates', () => {
  assert.throws(() => splitChain(csr), /no PEM block "CERTIFICATE"/);
});
