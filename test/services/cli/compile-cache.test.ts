import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { VERSION } from '../../../shared/base/version.ts';
import { tempDir } from '../../support/temp-dir.ts';

const launcher = join(import.meta.dirname, '../../../services/cli/quarry.js');

/** Runs `quarry --version`, with Node telling of its compile cache on stderr, and nothing else there. */
async function start(env: Record<string, string>): Promise<string> {
  const told = { NODE_DEBUG_NATIVE: 'COMPILE_CACHE', ...env };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [launcher, '--version'], {
    env: told,
  });
  assert.equal(stdout, `${VERSION}\n`);
  return stderr;
}

test('quarry keeps compiled code in a folder of its user, and starts from there the next time', async () => {
  await using home = await tempDir();
  const hits = (told: string) =>
    told.split('\n').filter(line => /\bmain\.ts\b.*(hit|accepted)/.test(line)).length;
  assert.equal(hits(await start({ HOME: home.path })), 0);
  assert.ok((await readdir(join(home.path, '.cache/quarry/compiled'))).length > 0);
  assert.ok(hits(await start({ HOME: home.path })) > 0);
});

test('quarry keeps compiled code where XDG_CACHE_HOME says', async () => {
  await using dir = await tempDir();
  await start({ HOME: '/nonexistent', XDG_CACHE_HOME: dir.path });
  assert.deepEqual(await readdir(dir.path), ['quarry']);
});

test('quarry starts where compiled code cannot be kept, or is damaged', async () => {
  await using home = await tempDir();
  const file = join(home.path, 'file');
  await writeFile(file, '');
  await start({ HOME: file }); // no folder can be made in it
  await start({});
  await start({ HOME: home.path });
  const kept = join(home.path, '.cache/quarry/compiled');
  const names = await readdir(kept, { recursive: true, withFileTypes: true });
  for (const one of names.filter(one => one.isFile()))
    await writeFile(join(one.parentPath, one.name), 'damaged');
  await start({ HOME: home.path });
});
