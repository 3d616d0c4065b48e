import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../../..');

/** What of Node itself has been loaded when these files have, in a process of its own. */
async function builtinsOf(files: string[]): Promise<string[]> {
  const program = `
    for (const file of ${JSON.stringify(files.map(file => join(root, file)))}) await import(file);
    console.log(JSON.stringify(process.moduleLoadList));
    process.exit();
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, maxBuffer: 2 ** 24 });
  return JSON.parse(stdout);
}

/** An intake has it nevertheless: `@koa/router` imports all of node:http. */
test('roles and what runs them speak HTTP without the client behind fetch', async () => {
  const roles = ['worker', 'responder', 'scheduler'].map(role => `services/${role}/${role}.ts`);
  const loaded = await builtinsOf(['services/cli/role-command.ts', ...roles]);
  assert.ok(loaded.includes('NativeModule http'));
  assert.deepEqual(
    loaded.filter(name => name.includes('undici')),
    [],
  );
});
