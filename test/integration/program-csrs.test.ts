import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, suite, test } from 'node:test';
import { openAccount } from '../../shared/library/index.ts';
import { certifiesKey, readCertificate, splitChain } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { generateKeyPem } from '../../shared/pki/private-key.ts';
import { assertChain, leafNames } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { programCsrs } from '../support/program-csrs.ts';
import { tempDir } from '../support/temp-dir.ts';

const trusting = { env: { PEBBLE_VA_ALWAYS_VALID: '1' } };

suite('CSRs in the forms that real programs write', async () => {
  const own = await tempDir();
  after(() => own[Symbol.asyncDispose]());
  const fleet = await startFleet({
    pebble: trusting,
    second: { pebble: trusting },
    secondAccount: `accept-terms-of-service = yes\ndir = ${own.path}\nkeys = any`,
    blocks: '[auth "local"]\nip = 127.0.0.1\ndomain = *.example.org\naccount = default, second\n',
  });
  after(() => fleet[Symbol.asyncDispose]());

  /** What Pebble says when it is sent a CSR at the end of an order for its names. */
  async function finalizeAtPebble(names: string[], csr: Buffer): Promise<string> {
    const { directoryUrl } = fleet.pebble;
    using account = await openAccount({
      directory: directoryUrl,
      key: await generateKeyPem('P-256'),
      terms: true,
      ca: [await readFile(fleet.pebble.caFile, 'utf8')],
    });
    const order = await account.order(names);
    for (const url of order.authorizations) {
      const { challenges } = await account.client().getAuthorization(url);
      await account.client().initiateChallenge(challenges[0]?.url ?? '');
    }
    await order.until('ready');
    return order.finalize(csr).then(
      () => 'accepted',
      error => error.message,
    );
  }

  for (const { file, what, pem, names, refusal, byPebble } of programCsrs) {
    if (refusal && byPebble) {
      test(`415 without an order, as Pebble would refuse it: ${what} (${file})`, async () => {
        const orders = fleet.orders();
        const { status, body } = await fleet.post(pem);
        assert.equal(status, 415);
        assert.match(body.trim(), refusal);
        assert.equal(fleet.orders(), orders);
        assert.match(await finalizeAtPebble(names, readCsr(Buffer.from(pem)).der), byPebble);
      });
    } else {
      test(`200 with the certificate: ${what} (${file})`, async () => {
        const { status, body } = await fleet.post(pem);
        assert.equal(status, 200, body);
        const leaf = splitChain(body)[0] ?? '';
        assert.ok(certifiesKey(readCertificate(leaf), readCsr(Buffer.from(pem)).der));
        assert.deepEqual(leafNames(new X509Certificate(leaf)), [...names].sort());
      });
    }
  }

  test('a P-521 key is ordered from the account that takes any, and from no other', async () => {
    const { csrPem, keyPem } = await makeCsr({ names: ['p521.example.org'], key: 'p521' });
    const orders = fleet.orders();
    const { status, body, headers } = await fleet.post(csrPem);
    assert.equal(status, 200, body);
    assert.equal(headers['x-quarry-account'], 'second');
    assertChain(body, {
      names: ['p521.example.org'],
      keyPem,
      rootPem: await fleet.second.pebble.rootPem(),
    });
    assert.equal(fleet.orders(), orders);
  });
});
