import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { atOption, withPath } from '../../../shared/base/file-error.ts';
import { tempDir } from '../../support/temp-dir.ts';

test('an error of a write says where, as those of the system do that have a path', async () => {
  const full = await writeFile('/dev/full', 'x').catch(error => error);
  assert.match(full.message, /^ENOSPC: no space left on device, write$/);
  assert.equal(withPath(full, '/var/lib/quarry/x'), full);
  assert.equal(full.message, "ENOSPC: no space left on device, write '/var/lib/quarry/x'");
  assert.deepEqual([full.code, full.syscall, full.path], ['ENOSPC', 'write', '/var/lib/quarry/x']);
  assert.equal(withPath(full, '/another'), full);
  assert.equal(full.path, '/var/lib/quarry/x');
});

test('what is no error of a file system is handed on as it is', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { syscall: 'connect', errno: -111 });
  for (const error of [new Error('no'), 'no', undefined, refused])
    assert.equal(atOption(error, '[trail] dir'), error);
  assert.equal(withPath('no', '/x'), 'no');
});

test('an option that leads to where nothing can be is told with its path, in one line', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'file'), '');
  const error = await mkdir(join(dir.path, 'file', 'trail')).catch(error => error);
  const told = atOption(error, '[trail] dir') as Error;
  assert.equal(
    told.message,
    `[trail] dir: ${dir.path}/file/trail cannot be used: not a directory: a part of the path is a file: correct it`,
  );
  assert.equal((told as NodeJS.ErrnoException).code, 'ENOTDIR');
});
