import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { assertChain } from '../support/chain.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';

const proxy = await startConnectProxy();
const through = `proxy = ${proxy.url.replace('//', '//quarry:pr0xy-s3cret@')}`;
// To Let's Encrypt from behind a proxy, with an account that macen can take over again.
const fleet = await startFleet();
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});

suite('an account behind a proxy', () => {
  test('orders through it, with an RSA key, and no log has the password', async () => {
    const dir = join(fleet.dir, 'proxied');
    const account = `accept-terms-of-service = yes\ndir = ${dir}\nkey-type = rsa\n${through}`;
    for (const secret of ['pr0xy-s3cret', Buffer.from('quarry:pr0xy-s3cret').toString('base64')])
      fleet.secrets.add(secret);
    for (const worker of fleet.all('worker')) await worker.stop();
    await fleet.start('worker', { account });
    const { csrPem, keyPem } = await makeCsr({ names: ['www.example.org'] });
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 200, body);
    assertChain(body, { names: ['www.example.org'], keyPem, rootPem: await fleet.pebble.rootPem() });
    assert.equal(createPrivateKey(await readFile(join(dir, 'account.pem'))).asymmetricKeyType, 'rsa');
    const { host } = new URL(fleet.ca.directoryUrl);
    assert.ok(proxy.asked.length > 0, 'the proxy was asked');
    for (const asked of proxy.asked)
      assert.deepEqual(asked, { authority: host, credentials: 'quarry:pr0xy-s3cret' });
  });
});
