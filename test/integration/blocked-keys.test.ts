import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ask } from '../support/ask.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { makeCsr } from '../support/csr.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';
import { waitUntil } from '../support/wait-until.ts';

let fleet: Fleet;
before(async () => {
  fleet = await startFleet({
    roles: [],
    pebble: { profiles: { default: { description: 'the only one', validityPeriod: 90 * 86_400 } } },
    mgmt: 'wait = 60',
  });
  const blocks = `[storage "files"]
type = file
directory = ${fleet.dir}/storage/files
renew-ahead = yes
[auth "all"]
all = yes
domain = *.example`;
  await fleet.start('up', { blocks });
});
after(() => fleet[Symbol.asyncDispose]());

const keys = async (...words: string[]) => callQuarryWith(await fleet.ini(), ['keys', ...words, 'main.ini']);
const revoke = (chain: string, reason: string) =>
  ask(`${fleet.all('up')[0]?.url}/revoke?reason=${reason}`, { method: 'POST', body: chain });

/** Another CSR for the same key, as a host makes that has only its names changed. */
async function sameKey(keyFile: string, name: string): Promise<string> {
  const { openssl } = await provision(['openssl']);
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  return execFileSync(openssl, ['req', '-new', '-key', keyFile, ...subject], { encoding: 'utf8' });
}

test('a key whose certificate was revoked for keyCompromise gets none any more, until an operator unblocks it', async () => {
  const { csrPem, keyPem, keyFile } = await makeCsr({ names: ['www.one.example'] });
  const sibling = await sameKey(keyFile, 'www.two.example');
  const first = await fleet.post(csrPem);
  const second = await fleet.post(sibling);
  assert.deepEqual([first.status, second.status], [200, 200], first.body + second.body);
  assert.equal((await fleet.post(sibling)).body, second.body, 'it is in storage');

  assert.equal((await revoke(first.body, 'keyCompromise')).status, 200);
  const told =
    /^the public key is blocked since \S+Z; make a new key: a certificate for www\.one\.example was revoked, as the key is compromised\n$/;
  const orders = fleet.orders();
  const again = await fleet.post(csrPem);
  assert.equal(again.status, 403);
  assert.match(again.body, told);
  // What is stored for the same key is refused as well, as soon as the intake has heard of it.
  await waitUntil(
    'the stored certificate to be refused',
    async () => (await fleet.post(sibling)).status === 403,
  );
  assert.match((await fleet.post(sibling)).body, told);

  const renewed = await callQuarryWith(await fleet.ini(), ['renew', 'www.two.example', 'main.ini']);
  assert.equal(renewed.code, 1);
  assert.match(
    renewed.stderr,
    /^quarry: www\.two\.example cannot be renewed: the public key is blocked since /,
  );
  assert.equal(fleet.orders(), orders, 'the CA was asked for nothing');

  const digest = createHash('sha256')
    .update(createPublicKey(keyPem).export({ format: 'der', type: 'spki' }))
    .digest('hex');
  const listed = await keys('list');
  assert.match(
    listed.stdout,
    new RegExp(`^${digest}  since \\S+Z\n    a certificate for www\\.one\\.example`),
  );
  assert.deepEqual(await keys('unblock', digest), { code: 0, stdout: `unblocked: ${digest}\n`, stderr: '' });
  await waitUntil(
    'the stored certificate to be handed out',
    async () => (await fleet.post(sibling)).status === 200,
  );
  const anew = await fleet.post(csrPem);
  assert.equal(anew.status, 200, anew.body);
  assert.notEqual(new X509Certificate(anew.body).serialNumber, new X509Certificate(first.body).serialNumber);
  assert.deepEqual((await keys('list')).stdout, 'no key is blocked\n');
});

test('quarry keys blocks the key of a CSR, a certificate or a PEM, and outlives Redis', async () => {
  const { csrPem, csrFile, keyFile } = await makeCsr({ names: ['www.three.example'] });
  const blocked = await keys('block', '--reason', 'it was in a backup', csrFile);
  assert.match(blocked.stdout, /^blocked: [0-9a-f]{64}\n$/);
  await fleet.redis.restart();
  await waitUntil('Redis to be back', async () => (await fleet.post(csrPem)).status !== 503);
  const refused = await fleet.post(csrPem);
  assert.equal(refused.status, 403);
  assert.match(refused.body, /make a new key: it was in a backup\n$/);
  assert.match((await keys('list')).stdout, /it was in a backup/);

  const failed = async (...words: string[]) => {
    const { code, stderr } = await keys(...words);
    return [code, stderr];
  };
  const lacks = 'it holds no certificate, CSR or public key in PEM';
  assert.deepEqual(await failed('block', keyFile), [1, `quarry: ${keyFile} cannot be used: ${lacks}\n`]);
  const none = join(fleet.dir, 'none.csr');
  assert.deepEqual(await failed('block', none), [
    1,
    `quarry: ${none} cannot be read: no such file or directory: make it, or correct the path\n`,
  ]);
  const file = join(fleet.dir, 'three.csr');
  await writeFile(file, csrPem);
  assert.equal((await keys('unblock', file)).code, 0);
  assert.match(
    `${await failed('unblock', file)}`,
    /^1,quarry: the key [0-9a-f]{64} is not blocked; quarry keys list /,
  );
  assert.match(`${await failed('forget')}`, /^2,quarry: keys needs one of list, block, unblock/);
  assert.match(`${await failed('unblock')}`, /^2,quarry: give a key and a file/);
  assert.match(`${await failed('list', '--reason', 'x')}`, /^2,quarry: only keys block takes a --reason/);
});
