import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createAtomically,
  readCreated,
  readIfThere,
  removeUnfinished,
  syncFolder,
  writeAtomically,
} from '../../../shared/base/atomic-file.ts';
import { failCalls } from '../../support/file-system.ts';
import { tempDir } from '../../support/temp-dir.ts';

const modeOf = async (file: string) => (await stat(file)).mode & 0o777;

test('writeAtomically() makes and replaces a file with the wanted mode and leaves nothing beside it', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'account.pem');
  await writeFile(file, 'old', { mode: 0o644 });
  await writeAtomically(file, 'new', { mode: 0o600 });
  assert.equal(await readFile(file, 'utf8'), 'new');
  assert.equal(await modeOf(file), 0o600);
  assert.deepEqual(await readdir(dir.path), ['account.pem']);
});

test('a reader of writeAtomically() never sees a part of a file', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'cert.pem');
  const contents = ['a', 'b', 'c'].map(letter => letter.repeat(200_000));
  await writeAtomically(file, contents[0] ?? '');
  let writing = true;
  const writers = Promise.all(
    contents.map(async content => {
      for (let round = 0; round < 8; round++) await writeAtomically(file, content);
    }),
  ).finally(() => {
    writing = false;
  });
  while (writing) assert.ok(contents.includes(await readFile(file, 'utf8')));
  await writers;
});

test('createAtomically() lets one of many writers win', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'account.pem');
  const made = await Promise.all(
    Array.from({ length: 10 }, (_, n) => createAtomically(file, `key ${n}`, 0o600)),
  );
  assert.equal(made.filter(Boolean).length, 1);
  assert.equal(await readFile(file, 'utf8'), `key ${made.indexOf(true)}`);
  assert.equal(await modeOf(file), 0o600);
  assert.deepEqual(await readdir(dir.path), ['account.pem']);
});

/** As SMB, FAT, FUSE, a full table of links, and the kernel's protection of links say it. */
for (const code of ['EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES'])
  test(`createAtomically() lets one of many writers win where there are no hard links (${code})`, async t => {
    await using dir = await tempDir();
    failCalls(t, 'link', code);
    const file = join(dir.path, 'account.pem');
    const seen = new Set<string | undefined>();
    const made = await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        const isMade = await createAtomically(file, `key ${n}`, 0o600);
        seen.add(await readCreated(file));
        return isMade;
      }),
    );
    assert.equal(made.filter(Boolean).length, 1);
    assert.deepEqual([...seen], [`key ${made.indexOf(true)}`]);
    assert.equal(await modeOf(file), 0o600);
    assert.deepEqual(await readdir(dir.path), ['account.pem']);
  });

test('createAtomically() leaves nothing behind where it cannot finish', async t => {
  await using dir = await tempDir();
  failCalls(t, 'link', 'EPERM');
  failCalls(t, 'rename', 'EIO');
  await assert.rejects(createAtomically(join(dir.path, 'account.pem'), 'key'), { code: 'EIO' });
  await assert.rejects(writeAtomically(join(dir.path, 'account.pem'), 'key'), { code: 'EIO' });
  assert.deepEqual(await readdir(dir.path), []);
});

test('readCreated() waits for a file that is empty yet, but not for ever', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'installation.key');
  await writeFile(file, '');
  const found = readCreated(file);
  await writeAtomically(file, 'secret');
  assert.equal(await found, 'secret');
  await writeFile(file, '');
  assert.equal(await readCreated(file), '');
  assert.equal(await readCreated(join(dir.path, 'absent')), undefined);
});

test('syncFolder() passes over what a file system cannot do, and tells what went wrong', async t => {
  await using dir = await tempDir();
  await syncFolder(dir.path);
  failCalls(t, 'open', 'EACCES', path => path === dir.path);
  await syncFolder(dir.path);
  await assert.rejects(syncFolder(join(dir.path, 'absent')), { code: 'ENOENT' });
});

test('writeAtomically() into a folder that is not there rejects, by the name of the file that was meant', async () => {
  await using dir = await tempDir();
  const path = join(dir.path, 'none', 'file');
  const message = `ENOENT: no such file or directory, open '${path}'`;
  await assert.rejects(writeAtomically(path, 'text'), { code: 'ENOENT', path, message });
});

test('readIfThere() tells a missing file from one that cannot be read', async () => {
  await using dir = await tempDir();
  assert.equal(await readIfThere(join(dir.path, 'none')), undefined);
  await mkdir(join(dir.path, 'folder'));
  await assert.rejects(readIfThere(join(dir.path, 'folder')), { code: 'EISDIR' });
});

test('removeUnfinished() removes what a killed writer has left, and nothing else', async () => {
  await using dir = await tempDir();
  const left = `.${randomUUID()}.tmp`;
  for (const name of [left, '.hidden.tmp', 'notes.tmp']) await writeFile(join(dir.path, name), '');
  await removeUnfinished(dir.path);
  assert.deepEqual((await readdir(dir.path)).sort(), ['.hidden.tmp', 'notes.tmp']);
});
