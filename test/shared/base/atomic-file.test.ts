import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createAtomically,
  readIfThere,
  removeUnfinished,
  writeAtomically,
} from '../../../shared/base/atomic-file.ts';
import { tempDir } from '../../support/temp-dir.ts';

const modeOf = async (file: string) => (await stat(file)).mode & 0o777;

test('writeAtomically() makes and replaces a file with the wanted mode and leaves nothing beside it', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'account.pem');
  await writeFile(file, 'old', { mode: 0o644 });
  await writeAtomically(file, 'new', 0o600);
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

test('writeAtomically() into a folder that is not there rejects', async () => {
  await using dir = await tempDir();
  await assert.rejects(writeAtomically(join(dir.path, 'none', 'file'), 'text'), { code: 'ENOENT' });
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
