import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { isOfSameOrganisation, isSelfSigned, isSignedBy, issuerIn } from '../../../shared/pki/issuer.ts';
import { ecKey, makeCertificate, makeIssued } from './openssl-csr.ts';

const genuine = makeIssued({});
const leaf = new X509Certificate(genuine.leaf);
const forged = new X509Certificate(makeIssued({ issuerKey: ecKey() }).leaf);
const selfSigned = new X509Certificate(makeCertificate());

test('the issuer of a chain is known by its certificate, and by its name alone where the chain lacks it', () => {
  assert.equal(issuerIn(genuine.leaf + genuine.issuer), genuine.issuer);
  assert.equal(issuerIn(genuine.leaf), 'name CN=A test CA');
  const wrong = makeIssued({ issuerKey: ecKey() }).issuer;
  assert.equal(issuerIn(genuine.leaf + wrong), 'name CN=A test CA', 'it did not sign it');
});

test('an issuer whose certificate is known has signed what its key has signed, whatever others claim', () => {
  assert.equal(forged.issuer, leaf.issuer);
  assert.deepEqual(
    [leaf, forged, selfSigned].map(one => isSignedBy(one, genuine.issuer)),
    [true, false, false],
  );
});

test('an issuer whose name alone is known has signed what has that name, but for its own', () => {
  assert.deepEqual(
    [isSignedBy(leaf, 'name CN=A test CA'), isSignedBy(leaf, 'name CN=Another')],
    [true, false],
  );
  assert.deepEqual([isSelfSigned(selfSigned), isSelfSigned(leaf)], [true, false]);
  assert.equal(isSignedBy(selfSigned, `name ${selfSigned.issuer}`), false);
});

test('two issuers are of the same organisation by all of its name, be their certificates known or not', () => {
  const issued = makeIssued({ issuer: '/O=A CA/CN=R10' });
  const one = new X509Certificate(issued.leaf);
  const other = makeIssued({ issuer: '/O=A CA/CN=R11', issuerKey: ecKey() }).issuer;
  assert.deepEqual(
    [other, 'name O=A CA\nCN=R11', 'name O=A CA too\nCN=R10', 'name CN=R10'].map(issuer =>
      isOfSameOrganisation(one, issuer),
    ),
    [true, true, false, false],
  );
  assert.equal(isOfSameOrganisation(leaf, genuine.issuer), false, 'neither names one');
});
