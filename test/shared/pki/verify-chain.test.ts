import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { openChainVerifier } from '../../../shared/pki/verify-chain.ts';
import { caExtensions, type Issued, issueCertificate, serverExtensions } from '../../support/certificates.ts';

const now = Date.now();
const day = 86_400_000;
const der = ({ pem }: Issued) => new X509Certificate(pem).raw;

const root = await issueCertificate({ subject: '/CN=root', extensions: caExtensions });
const between = await issueCertificate({ subject: '/CN=between', issuer: root, extensions: caExtensions });
const leaf = await issueCertificate({ issuer: between, extensions: serverExtensions('web1.example.org') });
const stranger = await issueCertificate({ subject: '/CN=root', extensions: caExtensions });

/** Verifies below `trusted`, and gives the fault, or the names. */
function verify(chain: Issued[], trusted: Issued[] = [root], at = now): string {
  const found = openChainVerifier(trusted.map(der))(chain.map(der), at);
  return 'fault' in found ? found.fault : found.leaf.identifiers.map(({ value }) => value).join();
}

/** The fault of a leaf with these extensions, right below the root. */
async function verifyLeaf(extensions: string[], more: Partial<Parameters<typeof issueCertificate>[0]> = {}) {
  return verify([await issueCertificate({ issuer: root, extensions, ...more })]);
}

/** The same leaf below a CA of its own that is between it and the root. */
async function verifyBelow(
  extensions: string[],
  names = ['web1.example.org'],
  more: { until?: number } = {},
) {
  const ca = await issueCertificate({ subject: '/CN=a CA', issuer: root, extensions, ...more });
  return verify([await issueCertificate({ issuer: ca, extensions: serverExtensions(...names) }), ca]);
}

const others = serverExtensions('web1.example.org').filter(line => !line.startsWith('extendedKeyUsage'));

test('a leaf that is for servers alone is taken, with what is between in any order, and the root or not', () => {
  assert.equal(verify([leaf, between]), 'web1.example.org');
  assert.equal(verify([leaf, root, stranger, between]), 'web1.example.org');
  assert.equal(verify([leaf], [between]), 'web1.example.org');
});

test('a certificate of another CA is refused, also of one by the same name, or when what is between is missing', () => {
  assert.equal(verify([leaf]), 'is of no CA that is trusted here');
  assert.equal(verify([leaf, between], [stranger]), 'is of no CA that is trusted here');
  assert.equal(verify([leaf, between, root], [stranger]), 'is of no CA that is trusted here');
  assert.equal(verify([]), 'is damaged');
});

test('a certificate counts during its life alone, and so does each CA above it', async () => {
  assert.match(verify([leaf, between], [root], now + 40 * day), /^expired at /);
  assert.match(verify([leaf, between], [root], now - 2 * day), /^is not valid before /);
  assert.match(
    await verifyBelow(caExtensions, ['web1.example.org'], { until: -0.5 }),
    /^comes from a CA whose certificate expired at /,
  );
  const old = await issueCertificate({ subject: '/CN=old', extensions: caExtensions, until: -0.5 });
  const young = await issueCertificate({ issuer: old, extensions: serverExtensions('web1.example.org') });
  assert.match(verify([young], [old]), /^comes from a CA whose certificate expired at /);
});

test('of purposes one has to be of TLS, whichever; without any all are good', async () => {
  const purposes = (text: string) => [...others, `extendedKeyUsage = ${text}`];
  assert.equal(await verifyLeaf(others), 'web1.example.org');
  assert.equal(await verifyLeaf(purposes('clientAuth')), 'web1.example.org');
  assert.equal(await verifyLeaf(purposes('emailProtection,clientAuth')), 'web1.example.org');
  assert.equal(await verifyLeaf(purposes('codeSigning,emailProtection')), 'is not for TLS');
  assert.equal(
    await verifyBelow([...caExtensions, 'extendedKeyUsage = codeSigning']),
    'comes from a CA whose certificate is not for TLS',
  );
});

test('nobody signs certificates but a CA that may', async () => {
  const refused = 'is of no CA that is trusted here';
  const below = await issueCertificate({ issuer: leaf, extensions: serverExtensions('web2.example.org') });
  assert.equal(verify([below, leaf, between]), refused);
  assert.equal(
    await verifyBelow(['basicConstraints = critical,CA:true', 'keyUsage = critical,cRLSign']),
    refused,
  );
  const only = await issueCertificate({
    ...{ subject: '/CN=last', issuer: root },
    extensions: ['basicConstraints = critical,CA:true,pathlen:0', 'keyUsage = critical,keyCertSign'],
  });
  const further = await issueCertificate({ subject: '/CN=x', issuer: only, extensions: caExtensions });
  const deep = await issueCertificate({ issuer: further, extensions: serverExtensions('web1.example.org') });
  assert.equal(verify([deep, further, only]), 'comes from a CA whose certificate allows no CA below it');
});

test('a CA whose names are constrained signs for no others', async () => {
  const constrained = (text: string) => [...caExtensions, `nameConstraints = critical,${text}`];
  const refused = 'comes from a CA whose certificate does not allow these names';
  const permitted = constrained('permitted;DNS:example.org');
  assert.equal(await verifyBelow(permitted), 'web1.example.org');
  assert.equal(await verifyBelow(permitted, ['example.org', '*.example.org']), 'example.org,*.example.org');
  assert.equal(await verifyBelow(permitted, ['web1.example.org', 'badexample.org']), refused);
  assert.equal(await verifyBelow(constrained('permitted;DNS:.example.org'), ['example.org']), refused);
  assert.equal(await verifyBelow(constrained('excluded;DNS:web1.example.org')), refused);
  const address = constrained('permitted;IP:192.0.2.0/255.255.255.0');
  assert.equal(await verifyBelow(address, ['192.0.2.7']), '192.0.2.7');
  assert.equal(await verifyBelow(address, ['198.51.100.7']), refused);
});

test('a weak key, a broken hash and what is not known but critical are refused', async () => {
  assert.match(await verifyLeaf(others, { key: ['rsa:1024'] }), /^has a key that is too weak/);
  assert.equal(await verifyLeaf(others, { key: ['rsa:2048'] }), 'web1.example.org');
  assert.equal(await verifyLeaf(others, { key: ['ed25519'] }), 'web1.example.org');
  assert.equal(await verifyLeaf(others, { digest: 'sha1' }), 'is signed by an algorithm that is not taken');
  assert.equal(
    await verifyLeaf([...others, '1.2.3.4 = critical,ASN1:NULL']),
    'has a critical extension that is not known here, 1.2.3.4',
  );
  assert.equal(await verifyLeaf([...others, '1.2.3.4 = ASN1:NULL']), 'web1.example.org');
});

test('a certificate that is trusted itself needs no CA, and is one for nobody', async () => {
  const own = await issueCertificate({
    subject: '/CN=own',
    extensions: serverExtensions('web1.example.org'),
  });
  assert.equal(verify([own], [own]), 'web1.example.org');
  const below = await issueCertificate({ issuer: own, extensions: serverExtensions('web2.example.org') });
  assert.equal(verify([below, own], [own]), 'is of no CA that is trusted here');
});

test('bytes of a good chain that are changed never make other names', () => {
  const [good, ca] = [der(leaf), der(between)];
  const verifier = openChainVerifier([der(root)]);
  for (let at = 0; at < good.length; at++) {
    const changed = Buffer.from(good);
    changed[at] = (changed[at] as number) ^ (1 << (at & 7));
    const found = verifier([changed, ca], now);
    assert.ok('fault' in found, `byte ${at}`);
  }
});
