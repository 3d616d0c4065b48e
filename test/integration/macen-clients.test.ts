import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { access, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { shownCommands } from '../support/docs.ts';
import { startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';

// The commands of macen's README, letter for letter but for the host and port of the server.

const makeKey = `openssl genrsa 4096 > domain.key`;
const makeRequest = {
  cn: `openssl req -new -sha256 -key domain.key -subj "/CN=example.org" > domain-201512.csr`,
  san: String.raw`openssl req -new -sha256 -key domain.key -subj "/CN=example.org" -reqexts SAN -config <(cat /etc/ssl/openssl.cnf <(printf "[SAN]\nsubjectAltName=DNS:example.org,DNS:www.example.org")) > domain-201512.csr`,
};
const postSigned = String.raw`wget --post-file=domain-201512.csr --header="${'`'}openssl dgst -sha256 -hmac '$KEY' domain-201512.csr | sed -e 's/HMAC-\(.*\)(.*)= *\(.*\)/Authentication: hmac name=\L\1\E, hash=\2/'${'`'}" http://acmese:1313/sign > domain-201512.pem`;
const postPlain = `wget --post-file=domain-201512.csr http://acmese:1313/sign > domain-201512.pem`;

/**
 * The single quotes stand inside of backquotes, so that no shell expands them: the key is these four letters.
 */
const literalKey = '$KEY';

await provision(['openssl', 'wget']);
const byHmac = `[auth "hmac"]
ip = 127.0.0.0/8
hmac_type = sha256
hmac_key = another-key
hmac_key = A1YP67armNf3cBrecyJHdb035
hmac_key = ${literalKey}
domain = example.org
domain = *.example.org
`;
const plain = '[auth "plain"]\nip = 127.0.0.0/8\ndomain = example.org\ndomain = www.example.org\n';
const fleet = await startFleet({ roles: ['responder'], blocks: byHmac + plain });
const byHmacIntake = await fleet.start('intake', { blocks: byHmac });
const plainIntake = await fleet.start('intake', { blocks: plain });
await fleet.start('worker'); // which judges by the blocks of both
after(() => fleet[Symbol.asyncDispose]());

let dir: TempDir;
before(async () => {
  dir = await tempDir();
  await shell(makeKey);
});

/**
 * Runs a command in the client's folder; the answer of a failed one is its error, which has the exit code
 * too.
 */
async function shell(command: string, { program = 'bash', to = byHmacIntake } = {}) {
  const { host } = new URL(to.url);
  const env = { ...process.env, KEY: 'the shell must not expand this' };
  return promisify(execFile)(program, ['-c', command.replace('acmese:1313', host)], { cwd: dir.path, env });
}

const read = (file: string) => readFile(join(dir.path, file), 'utf8');

/**
 * What wget was given: without -O it writes a file named after the URL, and nothing to its standard output.
 */
async function assertIssued(): Promise<void> {
  const expected = { names: ['example.org', 'www.example.org'], keyPem: await read('domain.key') };
  assertChain(await read('sign'), { ...expected, rootPem: await fleet.pebble.rootPem() });
  assert.equal(await read('domain-201512.pem'), '');
  await promisify(execFile)('rm', ['sign'], { cwd: dir.path });
}

suite("macen's client commands", () => {
  for (const program of ['bash', 'sh']) {
    test(`with HMAC, run literally by ${program} with this OpenSSL, get a certificate`, async () => {
      await shell(makeRequest.san);
      const { stderr } = await shell(postSigned, { program });
      assert.match(stderr, /200 OK/);
      await assertIssued();
      const { openssl } = await provision(['openssl']);
      const { stdout: version } = await promisify(execFile)(openssl, ['version']);
      const { stdout } = await shell(`openssl dgst -sha256 -hmac '$KEY' domain-201512.csr`);
      if (version.startsWith('OpenSSL 3')) assert.match(stdout, /^HMAC-SHA2-256\(/);
      assert.ok(
        stdout.includes(
          createHmac('sha256', literalKey)
            .update(await read('domain-201512.csr'))
            .digest('hex'),
        ),
      );
    });
  }

  test('as the page for hosts shows them today, by curl, get a certificate', async () => {
    await shell(makeRequest.san);
    await copyFile(join(dir.path, 'domain-201512.csr'), join(dir.path, 'www.csr'));
    const { host } = new URL(byHmacIntake.url);
    await shell(shownCommands('KEY=A1YP67armNf3cBrecyJHdb035').replace('quarry:1313', host), {
      program: 'sh',
    });
    const expected = { names: ['example.org', 'www.example.org'], keyPem: await read('domain.key') };
    assertChain(await read('www.pem'), { ...expected, rootPem: await fleet.pebble.rootPem() });
  });

  test('without HMAC get a certificate', async () => {
    await shell(makeRequest.san);
    const { stderr } = await shell(postPlain, { to: plainIntake });
    assert.match(stderr, /200 OK/);
    await assertIssued();
  });

  test('without HMAC are refused where one is needed, and save nothing', async () => {
    await shell(makeRequest.san);
    await assert.rejects(shell(postPlain), { code: 8, stderr: /403 Forbidden/ });
    await assert.rejects(access(join(dir.path, 'sign')), { code: 'ENOENT' });
    assert.equal(await read('domain-201512.pem'), '');
  });

  test('with a CSR that has only a CN are admitted and ordered', async () => {
    await shell(makeRequest.cn);
    const orders = fleet.orders();
    // Pebble, unlike public CAs, does not look at the CN.
    await assert.rejects(shell(postSigned), { code: 8, stderr: /415 Unsupported Media Type/ });
    assert.equal(fleet.orders(), orders + 1);
  });
});

suite('the Authentication header', () => {
  const spellings: [what: string, toHeaders: (hash: string) => Record<string, string>][] = [
    [
      "as macen's README shows it, with a comma",
      hash => ({ Authentication: `hmac name=sha256, hash=${hash}` }),
    ],
    ['as its text has it, without the comma', hash => ({ Authentication: `hmac name=sha256 hash=${hash}` })],
    ["with OpenSSL 3's name of the hash", hash => ({ Authentication: `hmac name=sha2-256, hash=${hash}` })],
    ['spelt Authorization', hash => ({ Authorization: `hmac name=sha256, hash=${hash}` })],
  ];
  for (const [what, toHeaders] of spellings) {
    test(`is accepted ${what}`, async () => {
      const { csrPem, keyPem } = await makeCsr({ names: ['header.example.org'] });
      const hash = createHmac('sha256', literalKey).update(csrPem).digest('hex');
      const { status, body } = await fleet.post(csrPem, { headers: toHeaders(hash) });
      assert.equal(status, 200, body);
      assertChain(body, { names: ['header.example.org'], keyPem, rootPem: await fleet.pebble.rootPem() });
    });
  }

  test('signs the bytes as posted: the same CSR with other line ends needs another HMAC', async () => {
    const { csrPem } = await makeCsr({ names: ['bytes.example.org'] });
    const hash = createHmac('sha256', literalKey).update(csrPem).digest('hex');
    const Authentication = `hmac name=sha256, hash=${hash}`;
    const changed = csrPem.replaceAll('\n', '\r\n');
    assert.equal((await fleet.post(changed, { headers: { Authentication } })).status, 403);
    assert.equal((await fleet.post(changed, { hmac: { key: literalKey } })).status, 200);
  });

  test('signed by a file that openssl itself digests in binary is accepted', async () => {
    const { csrPem } = await makeCsr({ names: ['binary.example.org'] });
    await writeFile(join(dir.path, 'binary.csr'), csrPem);
    const { stdout } = await shell(`openssl dgst -sha256 -hmac '$KEY' -r binary.csr | cut -d' ' -f1`);
    const headers = { Authentication: `hmac name=sha256, hash=${stdout.trim().toUpperCase()}` };
    assert.equal((await fleet.post(csrPem, { headers })).status, 200);
  });
});
