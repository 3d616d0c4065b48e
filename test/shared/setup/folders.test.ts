import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { account, auth } from './load-text.ts';

/** A folder `conf.d` with these files. */
async function folderOf(
  texts: Record<string, string>,
): Promise<AsyncDisposable & { path: string; at: string }> {
  const dir = await tempDir();
  const at = join(dir.path, 'conf.d');
  await mkdir(at);
  for (const [name, text] of Object.entries(texts)) await writeFile(join(at, name), text);
  return { path: dir.path, at, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

const block = (name: string) => auth.replace('mail', name);

test('loadConfig() reads a folder as the *.ini in it, in the order of the bytes of their names', async () => {
  await using dir = await folderOf({
    'b.ini': block('3rd'),
    'Z.ini': block('2nd'),
    '10-account.ini': account,
    'é.ini': block('4th'),
    '9.ini': block('1st'),
  });
  const { auth: blocks } = await loadConfig([dir.at], {});
  assert.deepEqual(
    blocks.map(({ name }) => name),
    ['1st', '2nd', '3rd', '4th'],
  );
});

test('loadConfig() passes over what is hidden in a folder, and what editors and package managers leave there', async () => {
  const leftovers = ['.hidden.ini', '#a.ini#', '.#a.ini', 'a.ini~', 'a.ini.bak', 'a.ini.dpkg-old', 'README'];
  await using dir = await folderOf({
    ...Object.fromEntries(leftovers.map(name => [name, 'not a configuration'])),
    'a.ini': account + auth,
  });
  assert.equal((await loadConfig([dir.at], {})).auth.length, 1);
});

test('loadConfig() reads files beside folders, in the order in which they are given, and follows links', async () => {
  await using dir = await folderOf({ 'a.ini': block('of-folder') });
  const main = join(dir.path, 'main.ini');
  await writeFile(main, account + block('first'));
  await writeFile(join(dir.path, 'data'), block('linked'));
  await symlink(join(dir.path, 'data'), join(dir.at, 'b.ini'));
  const { auth: blocks } = await loadConfig([main, dir.at], {});
  assert.deepEqual(
    blocks.map(({ name }) => name),
    ['first', 'of-folder', 'linked'],
  );
});

test('loadConfig() names the file of a folder in which something is wrong, and its line', async () => {
  await using dir = await folderOf({ 'a.ini': account, 'b.ini': `# mail\n${auth}typo = yes\n` });
  await assert.rejects(loadConfig([dir.at], {}), {
    name: 'ConfigError',
    message: new RegExp(`^${dir.at}/b\\.ini:5: \\[auth "mail"\\] typo: unknown option`),
  });
});

test('loadConfig() refuses a folder in which nothing is to be read', async () => {
  await using dir = await folderOf({ 'a.ini.bak': account + auth });
  await assert.rejects(loadConfig([dir.at], {}), {
    name: 'ConfigError',
    message: `${dir.at}: is a folder without an .ini file in it: name the file itself, or put one there`,
  });
});
