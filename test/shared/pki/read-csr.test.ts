import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { makeCsr } from './openssl-csr.ts';

const csr = makeCsr({ names: 'DNS:example.org' });
const sha384 = (text: string) => createHash('sha384').update(text).digest('hex');

test('readCsr() gives the digest of the canonical PEM and that of the body as posted', () => {
  const posted = `Hello\r\n${csr.replaceAll('\n', '\r\n')}\r\n`;
  const { pem, digest, postedDigest } = readCsr(Buffer.from(posted));
  assert.equal(pem, csr);
  assert.equal(digest, sha384(csr));
  assert.equal(postedDigest, sha384(posted));
});

test('readCsr() gives one digest for all spellings of a CSR', () => {
  const renamed = csr.replaceAll('CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST');
  const digests = [csr, csr.trimEnd(), `${csr}\n`, renamed].map(text => readCsr(Buffer.from(text)).digest);
  assert.equal(new Set(digests).size, 1);
});

const refused: [what: string, body: string, reason: RegExp][] = [
  ['an empty body', '', /no PEM certificate request/],
  ['a body without PEM', 'csr=abc', /no PEM certificate request/],
  ['two CSRs', csr + csr, /more than one CSR/],
  ['damaged base64', csr.replace('MI', '!!'), /base64/],
  ['a CSR without end', csr.slice(0, 100), /does not end/],
];

for (const [what, body, reason] of refused) {
  test(`readCsr() refuses ${what}`, () => {
    assert.throws(
      () => readCsr(Buffer.from(body)),
      (error: IssuanceError) =>
        error instanceof IssuanceError && error.code === 'badCsr' && reason.test(error.message),
    );
  });
}
