import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { callQuarryIn } from '../support/call-quarry.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';
import { tlsAuthority } from '../support/tls-authority.ts';

// A host's way from nothing to renewals by its own certificate, at a Pebble.

const { curl } = await provision(['curl']);
const server = await tlsAuthority();
const folder = await tempDir();
const at = (name: string) => join(folder.path, name);
// Pebble's root is known once it runs; the roles that read it start after that.
await copyFile(server.caFile, at('client-ca.pem'));
const mgmt = `tls-cert = ${server.certFile}
tls-key = ${server.keyFile}
client-ca = ${at('client-ca.pem')}`;
const blocks = `[auth "first"]
token = yes
domain = *.example.org
storage = kept
[auth "next"]
client-cert = *.example.org
domain = {client}
storage = kept
[storage "kept"]
type = redis
renew-ahead = yes
`;
const fleet = await startFleet({ roles: ['responder'], mgmt, blocks });
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});
await writeFile(at('client-ca.pem'), await fleet.pebble.rootPem());
await writeFile(at('main.ini'), await fleet.ini());
const [intake] = await Promise.all([fleet.start('intake'), fleet.start('worker'), fleet.start('scheduler')]);
const url = intake.url.replace('http:', 'https:');

/** What curl gets, and the status in a line of its own. */
const run = (path: string, file: string, ...args: string[]) =>
  new Promise<string>(done => {
    const what = ['-sS', '-w', '%{http_code}', '--cacert', server.caFile, '--data-binary', `@${file}`];
    execFile(curl, [...what, ...args, url + path], (_, out, err) => done(out + err));
  });

async function post(file: string, name: string, ...args: string[]): Promise<string> {
  const answer = await run('/sign', file, ...args);
  assert.match(answer, /200$/);
  await writeFile(at(name), answer.slice(0, -3));
  return answer;
}

test('a host gets its first certificate by a one-time token, the next ones by the one before, and revokes by it', async () => {
  const words = ['token', 'add', '--names', 'web1.example.org', '--once', 'web1', 'main.ini'];
  const { stdout, stderr } = await callQuarryIn(folder.path, words);
  const token = /^quarry_[\w-]{43}$/m.exec(stdout)?.[0] ?? '';
  assert.notEqual(token, '', stderr);
  fleet.secrets.add(token);
  const [first, second, foreign] = await Promise.all(
    ['web1.example.org', 'web1.example.org', 'web2.example.org'].map(name => makeCsr({ names: [name] })),
  );
  assert.ok(first && second && foreign);
  await post(first.csrFile, 'first.pem', '-H', `Authorization: Bearer ${token}`);
  const shown = ['--cert', at('first.pem'), '--key', first.keyFile];
  await post(second.csrFile, 'second.pem', ...shown);
  assert.match(await run('/sign', foreign.csrFile, ...shown), /^not admitted: web2\.example\.org; .*\n403$/);

  const next = ['--cert', at('second.pem'), '--key', second.keyFile];
  assert.equal(await run('/revoke', at('first.pem'), ...next), 'revoked\n200');
  assert.equal(await run('/sign', first.csrFile, ...shown), 'the client certificate was revoked\n403');
  await post(second.csrFile, 'third.pem', ...next);
});

test('a certificate that only {client} admits is not renewed ahead, and quarry renew says why', async () => {
  const { code, stderr } = await callQuarryIn(folder.path, ['renew', 'web1.example.org', 'main.ini']);
  assert.equal(code, 1);
  assert.match(stderr, /only a client that shows its certificate may have web1\.example\.org/);
  const { stdout } = await callQuarryIn(folder.path, ['renewals', 'main.ini']);
  assert.match(stdout, /only a client that shows its certificate may have web1\.example\.org/);
});
