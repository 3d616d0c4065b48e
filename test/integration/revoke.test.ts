import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { makeCertificate, makeIssued } from '../shared/pki/openssl-csr.ts';
import { type AskOptions, ask, signed } from '../support/ask.ts';
import { type Csr, makeCsr } from '../support/csr.ts';
import { shownCommands, writeRecipe } from '../support/docs.ts';
import { startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';

import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const key = 'a long enough key for revoking';
const { path: directory } = await tempDir();
const fleet = await startFleet({
  roles: ['intake', 'worker', 'worker', 'responder'],
  blocks: `[storage "files"]
type = file
directory = ${directory}
[storage "shared"]
type = redis
[auth "files"]
ip = 127.0.0.1
domain = *.files.example
storage = files
[auth "shared"]
hmac_type = sha256
hmac_key = ${key}
domain = *.shared.example
storage = shared
`,
});
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

const revoke = (body: string, { query = '', ...options }: AskOptions & { query?: string } = {}) =>
  ask(`${fleet.all('intake')[0]?.url}/revoke${query}`, { method: 'POST', body, ...options });
const hmac = { key };

async function issue(csr: Csr, options: { hmac?: { key: string } } = {}): Promise<string> {
  const { status, body } = await fleet.post(csr.csrPem, options);
  assert.equal(status, 200, body);
  return body;
}

for (const [storage, options] of [
  ['files', {}],
  ['shared', { hmac }],
] as const)
  suite(`POST /revoke of a certificate in storage "${storage}"`, () => {
    const sign = (chain: string) => ('hmac' in options ? signed(chain, hmac) : {});

    test('revokes it at the CA, and the next post of its CSR gets another', async () => {
      const csr = await makeCsr({ names: [`www.${storage}.example`] });
      const chain = await issue(csr, options);
      assert.equal(await issue(csr, options), chain, 'it is in storage');
      const answer = await revoke(chain, { query: '?reason=superseded', headers: sign(chain) });
      assert.deepEqual([answer.status, answer.body], [200, 'revoked\n']);
      assert.deepEqual(await fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason: 4 });

      const next = await issue(csr, options);
      assert.notEqual(new X509Certificate(next).serialNumber, new X509Certificate(chain).serialNumber);
      assert.equal((await fleet.pebble.certificateStatus(next)).status, 'Valid');
      const again = await revoke(chain, { headers: sign(chain) });
      assert.deepEqual([again.status, again.body], [200, 'revoked already\n']);
      assert.equal(await issue(csr, options), next, 'its successor is left alone');
    });

    test('has no result hand it out, whether fetched or posted for again', async () => {
      const csr = await makeCsr({ names: [`async.${storage}.example`] });
      const { headers } = await fleet.post(csr.csrPem, { ...options, headers: { Prefer: 'respond-async' } });
      const path = headers.location ?? '';
      const url = `${fleet.all('intake')[0]?.url}${path}`;
      const fetched = await ask(url, { headers: { Prefer: 'wait=60', ...sign(path) } });
      assert.equal(fetched.status, 200, fetched.body);
      assert.equal((await revoke(fetched.body, { headers: sign(fetched.body) })).status, 200);
      assert.equal((await ask(url, { headers: sign(path) })).status, 404);
      assert.notEqual(await issue(csr, options), fetched.body);
    });
  });

test('POST /revoke by the commands that the page shows', async () => {
  const { curl, openssl } = await provision(['curl', 'openssl']);
  const csr = await makeCsr({ names: ['readme.shared.example'] });
  const chain = await issue(csr, { hmac });
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'www.pem'), chain);
  await writeRecipe(dir.path);
  await writeFile(join(dir.path, 'quarry.key'), key);
  const command = shownCommands("hmac2 POST '/revoke");
  const script = command.replace('http://quarry:1313', fleet.all('intake')[0]?.url ?? '');
  assert.notEqual(script, command);
  const PATH = [curl, openssl].map(path => join(path, '..')).join(':');
  const env = { ...process.env, PATH: `${PATH}:${process.env.PATH}` };
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: dir.path, env });
  assert.equal(stdout, 'revoked\n');
  assert.deepEqual(await fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason: 1 });
});

test('POST /revoke removes a certificate that macen stored, which no index knows', async () => {
  const csr = await makeCsr({ names: ['macen.files.example'] });
  const chain = await issue(csr);
  // As macen had it: under the hash of another spelling, and unknown to every index.
  const posted = csr.csrPem.replaceAll('\n', '\r\n');
  const hash = createHash('sha384').update(posted).digest('hex');
  const folder = join(directory, hash.slice(0, 2), hash.slice(2));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'csr.pem'), posted);
  await writeFile(join(folder, 'cert.pem'), chain.trimEnd());
  await fleet.redisClient.del('{quarry}:expiry:files');
  assert.equal((await revoke(chain)).status, 200);
  const { body } = await fleet.post(posted);
  assert.notEqual(body.trimEnd(), chain.trimEnd());
});

test('POST /revoke asks the CA nothing about certificates that it has not signed, whatever they say', async () => {
  const csr = await makeCsr({ names: ['genuine.files.example'] });
  const chain = await issue(csr);
  const before = fleet.pebble.requestLog().length;
  const intermediate = new X509Certificate(chain).issuer.replace('\n', '/');
  const answers = [];
  for (let at = 0; at < 20; at++) {
    const names = `DNS:own-${at}.files.example`;
    const forged = makeIssued({ issuer: `/${intermediate}`, names });
    for (const pem of [makeCertificate({ names }), forged.leaf + forged.issuer])
      answers.push(await revoke(pem));
  }
  for (const { status, body } of answers) {
    assert.equal(status, 404, body);
    assert.match(
      body,
      /^no account here has got this certificate: it(s issuer is CN=Pebble .*| has signed itself)\n$/,
    );
  }
  assert.equal(fleet.pebble.requestLog().length, before);
  const foreign = await revoke(makeCertificate({ names: 'DNS:own.shared.example' }));
  assert.deepEqual(
    [foreign.status, foreign.body],
    [403, 'not admitted: own.shared.example; add it as a domain line to an [auth] block on the server\n'],
  );
  assert.equal((await revoke(chain)).status, 200);
});

test('POST /revoke knows what was issued before issuers were noted', async () => {
  const csr = await makeCsr({ names: ['earlier.files.example'] });
  const chain = await issue(csr);
  await fleet.redisClient.del('{quarry}:issuers');
  await fleet.redisClient.del('{quarry}:expiry:files');
  assert.equal((await revoke(chain)).status, 200);
  assert.equal((await fleet.pebble.certificateStatus(chain)).status, 'Revoked');
});

test('a certificate is revoked though the CA is away at first, and the worker that began is killed', async () => {
  const csr = await makeCsr({ names: ['patient.files.example'] });
  const chain = await issue(csr);
  await fleet.ca.goDown();
  const waiting = revoke(chain);
  const begun = () =>
    fleet.all('worker').find(one => one.log().some(({ msg }) => msg === 'revoking again later'));
  await waitUntil('the first attempt to fail', () => begun() !== undefined);
  await begun()?.kill();
  await fleet.ca.comeBack();
  const { status, body } = await waiting;
  assert.equal(status, 200, body);
  assert.equal((await fleet.pebble.certificateStatus(chain)).status, 'Revoked');
});
