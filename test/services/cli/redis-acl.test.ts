import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { redisAclCommand } from '../../../services/cli/redis-acl.ts';
import { redisUsers } from '../../../shared/base/redis-use.ts';
import { tempDir } from '../../support/temp-dir.ts';

const least = '[account]\ndir = /nowhere\n[auth "all"]\nall = yes\ndomain = *\n';

/** What `quarry redis-acl` writes, line by line, for this configuration in a folder. */
async function redisAcl(folder: string, ini: string, ...options: string[]): Promise<string[]> {
  const file = join(folder, 'main.ini');
  await writeFile(file, ini);
  let written = '';
  const write = (text: string) => {
    written += text;
    return undefined;
  };
  await redisAclCommand.run([...options, file], { env: {}, write });
  return written.trimEnd().split('\n');
}

const digestOf = (password: string) => `#${createHash('sha256').update(password).digest('hex')}`;

test('quarry redis-acl gives a responder the challenges of the configured kinds to read, to hear of reloads, and nothing else', async () => {
  await using dir = await tempDir();
  const rights = async (...types: string[]) => {
    const blocks = types.map(type => `[verification "${type}"]\ntype = ${type}\n`).join('');
    const ini = `${least}verification = ${types[0]}\n${blocks}`;
    const line = (await redisAcl(dir.path, ini)).find(line => line.includes('-responder'));
    return line?.replace(/^.* #\S+ /, '');
  };
  const channel = '&{quarry}:reload-responders';
  assert.equal(
    await rights('http01'),
    `resetchannels ${channel} ~{quarry}:http-01:* -@all +mget +ping +subscribe +time`,
  );
  assert.equal(
    await rights('tlsalpn01', 'dns01-server'),
    `resetchannels ${channel} ~{quarry}:tls-alpn-01:* ~{quarry}:dns-01:* ~{quarry}:dns-01-below:* -@all ` +
      '+ping +subscribe +time +zcount +zrangebyscore +zrevrangebyscore',
  );
});

test('quarry redis-acl escapes the prefix for Redis, and quotes it for redis-cli alone', async () => {
  await using dir = await tempDir();
  const ini = `${least}[redis]\nprefix = a*"b\\c\n`;
  const [line] = await redisAcl(dir.path, ini);
  assert.ok(line?.includes(String.raw` "~a\\*\"b\\\\c:promise:*" `), line);
  const [, inFile] = await redisAcl(dir.path, ini, '--acl-file');
  assert.ok(inFile?.includes(String.raw` ~a\*"b\\c:promise:* `), inFile);
});

test('quarry redis-acl lets nobody but the roles in by an ACL file', async () => {
  await using dir = await tempDir();
  const [others, ...lines] = await redisAcl(dir.path, least, '--acl-file');
  assert.equal(others, 'user default off');
  assert.deepEqual(
    lines.map(line => line.split(' ', 3).join(' ')),
    redisUsers.map(user => `user quarry-${user} on`),
  );
});

test('quarry redis-acl --passwords makes each password once, for its owner to read, and prints digests alone', async () => {
  await using dir = await tempDir();
  const passwords = join(dir.path, 'made', 'here');
  const lines = await redisAcl(dir.path, least, '--passwords', passwords);
  assert.deepEqual((await readdir(passwords)).sort(), [...redisUsers].sort());
  const seen = new Set<string>();
  for (const [index, user] of redisUsers.entries()) {
    const file = join(passwords, user);
    const password = (await readFile(file, 'utf8')).trim();
    assert.ok(password.length >= 32);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.ok(lines[index]?.startsWith(`ACL SETUSER quarry-${user} reset on ${digestOf(password)} `));
    seen.add(password);
  }
  assert.equal(seen.size, redisUsers.length);
  assert.ok([...seen].every(password => !lines.join().includes(password)));
  assert.deepEqual(await redisAcl(dir.path, least, '--passwords', passwords), lines);
});

test('quarry redis-acl --passwords writes into the folder of a role where there is one', async () => {
  await using dir = await tempDir();
  for (const user of redisUsers) await mkdir(join(dir.path, 'own', user), { recursive: true });
  const [line] = await redisAcl(dir.path, least, '--passwords', join(dir.path, 'own'));
  const password = (await readFile(join(dir.path, 'own', 'intake', 'password'), 'utf8')).trim();
  assert.ok(line?.includes(digestOf(password)));
});

test('quarry redis-acl takes names and passwords from [redis], and leaves no user without a password', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'secret');
  await writeFile(file, 'correct-horse\n');
  const own = `[redis]\nurl = redis://127.0.0.1/3\nuser-worker = acme\npassword-file-worker = ${file}\n`;
  const [intake, worker] = await redisAcl(dir.path, least + own);
  assert.ok(worker?.startsWith(`ACL SETUSER acme reset on ${digestOf('correct-horse')} `), worker);
  assert.match(intake ?? '', /^ACL SETUSER quarry-intake reset on #PUT-HERE-THE-SHA256-OF-/);
  assert.match(worker ?? '', /\+select /); // for database 3
  await writeFile(file, 'two words');
  await assert.rejects(redisAcl(dir.path, least + own), {
    message: `the password of a Redis user: ${file} is not one word`,
  });
});

test('quarry redis-acl gives a user of a cluster the right to find the node, and a database its own', async () => {
  await using dir = await tempDir();
  const rightsIn = async (lines: string) => (await redisAcl(dir.path, `${least}[redis]\n${lines}\n`)).join();
  assert.match(await rightsIn('cluster = a:1'), / \+cluster\|slots .* \+cluster\|slots /);
  assert.doesNotMatch(await rightsIn('sentinel = a:1'), /cluster|select/);
  assert.match(await rightsIn('url = redis://a/1'), / \+select /);
});

test('quarry redis-acl --sentinel lets Quarry ask Sentinels for the master, and nothing else', async () => {
  await using dir = await tempDir();
  const passwords = join(dir.path, 'made');
  const [line, ...more] = await redisAcl(dir.path, least, '--sentinel', '--passwords', passwords);
  const password = (await readFile(join(passwords, 'sentinel'), 'utf8')).trim();
  const rights =
    '-@all +sentinel|get-master-addr-by-name +sentinel|masters resetchannels &+switch-master +subscribe +ping';
  assert.deepEqual([line, more], [`ACL SETUSER quarry reset on ${digestOf(password)} ${rights}`, []]);
  const file = join(dir.path, 'own');
  await writeFile(file, 'secret');
  const ini = `${least}[redis]\nsentinel = s:1\nsentinel-user = watcher\nsentinel-password-file = ${file}\n`;
  const inFile = await redisAcl(dir.path, ini, '--sentinel', '--acl-file');
  assert.deepEqual(inFile, [`user watcher on ${digestOf('secret')} ${rights}`]);
});
