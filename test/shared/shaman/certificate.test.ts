import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { findMismatch } from '../../../shared/shaman/certificate.ts';
import { ecKey, makeCertificate } from '../pki/openssl-csr.ts';
import { rewritten } from '../pki/rewritten-key.ts';

const chain = makeCertificate({ names: 'DNS:a.example' });
const leaf = readCertificate(chain);
const mismatch = (publicKey: Buffer, key = ecKey()) =>
  findMismatch(
    { chain, leaf: { ...leaf, publicKey }, ca: undefined },
    { identifiers: [{ type: 'dns', value: 'a.example' }], memory: {} },
    createPrivateKey(readFileSync(key, 'utf8')),
    { accepts: () => true },
  );

test("findMismatch() takes the domain's key for the certificate's however the CA has written it, and no other", () => {
  assert.equal(mismatch(leaf.publicKey), undefined);
  assert.equal(mismatch(rewritten(leaf.publicKey)), undefined);
  assert.equal(mismatch(rewritten(leaf.publicKey), ecKey('prime256v1')), 'its key is a new one');
  assert.equal(mismatch(Buffer.from('no key')), 'its key is a new one');
});
