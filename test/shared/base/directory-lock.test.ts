import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { lockDirectory } from '../../../shared/base/directory-lock.ts';
import { tempDir } from '../../support/temp-dir.ts';

const module = join(import.meta.dirname, '../../../shared/base/directory-lock.ts');

test('lockDirectory() gives a directory to one at a time', async () => {
  await using dir = await tempDir();
  {
    await using first = await lockDirectory(dir.path);
    assert.ok(first);
    assert.throws(() => execFileSync('flock', ['--nonblock', dir.path, 'true']));
    assert.equal(first.lost.aborted, false);
  }
  await using second = await lockDirectory(dir.path);
  assert.ok(second);
});

test('lockDirectory() gives a directory on when its holder is killed', async () => {
  await using dir = await tempDir();
  const program = `import { lockDirectory } from ${JSON.stringify(module)};
    globalThis.lock = await lockDirectory(${JSON.stringify(dir.path)});
    console.log(globalThis.lock ? 'locked' : 'refused'); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.equal(`${(await once(holder.stdout, 'data'))[0]}`, 'locked\n');
  assert.equal(await lockDirectory(dir.path), undefined);
  holder.kill('SIGKILL');
  await using lock = await lockDirectory(dir.path);
  assert.ok(lock);
});

test('lockDirectory() tells when there is no such directory', async () => {
  await using dir = await tempDir();
  await assert.rejects(lockDirectory(join(dir.path, 'absent')), /ENOENT/);
  await assert.rejects(lockDirectory(module), /directory-lock\.ts is not a directory/);
});

test('lockDirectory() says what to do where the file system has no locks, as SMB and some NFS', async t => {
  await using bin = await tempDir();
  await using dir = await tempDir();
  const flock = join(bin.path, 'flock');
  await writeFile(flock, '#!/bin/sh\necho "flock: $5: No locks available" >&2; exit 71\n');
  await chmod(flock, 0o755);
  const { PATH } = process.env;
  t.after(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = `${bin.path}:${PATH}`;
  await assert.rejects(
    lockDirectory(dir.path),
    /quarry-test-\w+ cannot be locked: flock: .*No locks available; its file system has no locks: keep it in/,
  );
});
