import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { findSecretFault, openSecret, readSecretOfRoles } from '../../../shared/base/installation.ts';
import { failCalls } from '../../support/file-system.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const secretText = 'a secret of forty characters, no fewer!!';

test('a secret that is absent is made for its owner alone, with the folder that it lies in', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'account', 'installation.key');
  const { log, lines, text } = keptLog();
  const secret = await openSecret(file, log);
  assert.match(secret.toString(), /^[0-9a-f]{64}$/);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(join(dir.path, 'account'))).mode & 0o777, 0o700);
  assert.equal(await readFile(file, 'utf8'), `${secret}\n`);
  assert.equal(lines.length, 1);
  assert.ok(!text().includes(secret.toString()));
  assert.deepEqual(await openSecret(file, quietLog), secret, 'and read again');
});

test('of many that make the secret at once, all read the same', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'installation.key');
  const secrets = await Promise.all(Array.from({ length: 20 }, () => openSecret(file, quietLog)));
  assert.equal(new Set(secrets.map(String)).size, 1);
  assert.deepEqual(await readdir(dir.path), ['installation.key']);
});

test("an operator's own secret is taken without the line's end", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'own');
  await writeFile(file, `${secretText}\r\n`, { mode: 0o600 });
  assert.equal((await openSecret(file, quietLog)).toString(), secretText);
});

test('a secret that is too short, or that cannot be read or made, is one line with its file', async () => {
  await using dir = await tempDir();
  const [short, folder] = [join(dir.path, 'short'), join(dir.path, 'folder')];
  const below = join(short, 'below');
  await writeFile(short, 'x'.repeat(31), { mode: 0o600 });
  await mkdir(folder);
  await assert.rejects(openSecret(short, quietLog), {
    message: `[mgmt] secret-file: the secret of the installation, ${short}, has 31 characters: at least 32 are needed, such as openssl rand -hex 32 makes`,
  });
  await assert.rejects(openSecret(folder, quietLog), /folder, cannot be read: [^\n]+$/);
  await assert.rejects(
    openSecret(below, quietLog),
    /below, cannot be read: not a directory: a part of the path is a file: correct it$/,
  );
  await assert.rejects(openSecret('/sys/installation.key', quietLog), {
    message:
      /^\[mgmt\] secret-file: the secret of the installation, \/sys\/installation\.key, is absent and cannot be made: /,
  });
});

test('where no secret can be made, as the directory is only read, the account key beside it gives one', async t => {
  await using dir = await tempDir();
  const file = join(dir.path, 'installation.key');
  const key = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  await writeFile(join(dir.path, 'account.pem'), key().export({ format: 'pem', type: 'pkcs8' }));
  await assert.rejects(readSecretOfRoles(file), /is not here/, 'a role would make one');
  failCalls(t, 'access', 'EROFS');
  const { log, lines, text } = keptLog();
  const secret = await openSecret(file, log);
  assert.match(secret.toString(), /^[0-9a-f]{64}$/);
  assert.deepEqual([await openSecret(file, quietLog), await readSecretOfRoles(file)], [secret, secret]);
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['no secret can be made here: the account key beside it gives one'],
  );
  assert.ok(!text().includes(secret.toString()));
  assert.deepEqual(await readdir(dir.path), ['account.pem']);
  await writeFile(join(dir.path, 'account.pem'), key().export({ format: 'pem', type: 'pkcs8' }));
  assert.notDeepEqual(await openSecret(file, quietLog), secret, 'another key gives another one');
  await writeFile(file, secretText, { mode: 0o600 });
  assert.equal((await openSecret(file, quietLog)).toString(), secretText, 'a file goes first');
});

test('a secret that every user can read works, with a warning', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'installation.key');
  await writeFile(file, secretText);
  await chmod(file, 0o644);
  const { log, lines } = keptLog();
  assert.equal((await openSecret(file, log)).toString(), secretText);
  assert.match(
    `${lines[0]?.msg}`,
    /^\[mgmt\] secret-file: every user of this machine can read or change the secret/,
  );
  assert.match(`${await findSecretFault(file)}`, /chmod 600$/);
  await chmod(file, 0o640);
  assert.equal(await findSecretFault(file), undefined, 'a group may be meant to read it');
});

test('who only looks makes nothing', async () => {
  await using dir = await tempDir();
  assert.equal(await findSecretFault(join(dir.path, 'installation.key')), undefined);
  assert.deepEqual(await readdir(dir.path), []);
  const short = join(dir.path, 'short');
  await writeFile(short, '', { mode: 0o600 });
  assert.match(`${await findSecretFault(short)}`, /has 0 characters/);
});
