import assert from 'node:assert/strict';
import {
  chmod,
  chown,
  mkdir,
  readFile,
  readlink,
  realpath,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyCaFile, needFolder, putConfig, tryConfig } from '../../../../services/cli/init/write-config.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const now = new Date('2026-11-27T15:00:00Z');

test('main.ini is for its owner alone, stays whose it was, and a copy of what it said is kept', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  const put = (text: string, before?: string) => putConfig(file, text, { owner: undefined, before, now });
  assert.equal(await put('one'), undefined);
  await assert.rejects(put('two'), /has just been made by somebody else$/);
  // Only root can give a file away.
  if (process.getuid?.() === 0) await chown(file, 1234, 1234);
  const { uid } = await stat(file);
  const copy = await put('two', 'one');
  assert.equal(copy, `${file}.20261127T150000Z`);
  assert.deepEqual([await readFile(file, 'utf8'), await readFile(copy ?? '', 'utf8')], ['two', 'one']);
  for (const path of [file, copy ?? '']) {
    const found = await stat(path);
    assert.deepEqual([found.mode & 0o777, found.uid], [0o600, uid]);
  }
  const link = join(dir.path, 'link.ini');
  await symlink(file, link);
  const again = { owner: undefined, before: 'two', now: new Date('2026-11-27T16:00:00Z') };
  assert.equal(await putConfig(link, 'three', again), `${await realpath(file)}.20261127T160000Z`);
  assert.deepEqual([await readlink(link), await readFile(file, 'utf8')], [file, 'three']);
});

test('the certificate of a CA is copied, and another one that was there stays under another name', async () => {
  await using dir = await tempDir();
  const [from, to] = [join(dir.path, 'theirs.pem'), join(dir.path, 'ca.pem')];
  await writeFile(from, 'theirs');
  assert.equal(await copyCaFile(from, to, now), undefined);
  assert.equal(await copyCaFile(from, to, now), undefined, 'the same once more');
  await writeFile(to, 'of something else');
  const kept = `${to}.20261127T150000Z`;
  assert.equal(await copyCaFile(from, to, now), kept);
  assert.deepEqual(
    [await readFile(to, 'utf8'), await readFile(kept, 'utf8')],
    ['theirs', 'of something else'],
  );
});

test('a folder in which others could put another main.ini is warned of', async () => {
  await using dir = await tempDir();
  await chmod(dir.path, 0o777);
  const file = join(dir.path, 'main.ini');
  const text = `[account]\ndir = ${dir.path}/account\n[auth "a"]\nip = 192.0.2.1\ndomain = a.example.org\n`;
  const open = `everybody can put another main.ini into ${dir.path}: chmod o-w ${dir.path}`;
  assert.deepEqual(await tryConfig(file, text, { PATH: dir.path }, false), [open]);
  await chmod(dir.path, 0o1777);
  assert.deepEqual(await tryConfig(file, text, { PATH: dir.path }, false), []);
  // Only root can give a folder away.
  if (process.getuid?.() !== 0) return;
  await chown(dir.path, 1234, 1234);
  const theirs = `the user 1234 has ${dir.path}, and can put another main.ini there: choose a folder of your own`;
  assert.deepEqual(await tryConfig(file, text, { PATH: dir.path }, false), [theirs]);
});

test('what quarry check refuses is not written, and is named by the file that it would be in', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await assert.rejects(tryConfig(file, '[account]\n', {}, true), {
    name: 'ConfigError',
    message: new RegExp(`^${file}:1: \\[account\\] dir: is missing`),
  });
  await assert.rejects(stat(file), { code: 'ENOENT' });
});

test('what quarry check warns of is told, and where there is no Redis to start', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  const text = `[account]\ndir = ${dir.path}/account\n[auth "a"]\nip = 0.0.0.0/0\ndomain = a.example.org\n`;
  const [open, redis, ...others] = await tryConfig(file, text, { PATH: dir.path }, true);
  assert.equal(open, `${file}:4: [auth "a"] ip: 0.0.0.0/0 admits every IPv4 client`);
  assert.match(redis ?? '', /there is no redis-server: apt install redis-server$/);
  assert.deepEqual(others, []);
  assert.equal((await tryConfig(file, text, { PATH: dir.path }, false)).length, 1);
  const elsewhere = `${text}[redis]\nurl = redis://redis.example.org\n`;
  assert.equal((await tryConfig(file, elsewhere, { PATH: dir.path }, true)).length, 1);
});

test('a folder that is missing is made for the service alone; else one line says what to do', async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, 'a/b');
  await assert.rejects(needFolder(folder, false), {
    message: `there is no folder ${folder}: mkdir -p ${folder}`,
  });
  await needFolder(folder, true);
  await needFolder(folder, false);
  await mkdir(join(dir.path, 'c'));
  await writeFile(join(dir.path, 'c/file'), '');
  await assert.rejects(needFolder(join(dir.path, 'c/file'), false), /is no folder|cannot be used/);
});
