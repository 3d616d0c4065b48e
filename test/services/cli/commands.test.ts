import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { commands } from '../../../services/cli/commands.ts';

const table = join(import.meta.dirname, '../../../services/cli/commands.ts');

/** The packages that a process has loaded once it has these commands. */
async function packagesOf(names: string[]): Promise<string[]> {
  const ask = `const { commands } = await import(${JSON.stringify(table)});
for (const name of ${JSON.stringify(names)}) await commands[name]();
const { createRequire } = await import('node:module');
const loaded = Object.keys(createRequire(import.meta.url).cache);
console.log(JSON.stringify(loaded.flatMap(path => /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(path)?.[1] ?? [])));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', ask]);
  return [...new Set(JSON.parse(stdout) as string[])];
}

test('a command is loaded when it is wanted, and with it only what it needs', async () => {
  const [none, acme, responder, all] = await Promise.all(
    [[], ['acme'], ['responder'], Object.keys(commands)].map(packagesOf),
  );
  assert.deepEqual(none, []);
  assert.ok(acme?.includes('acme-client') && !acme.includes('ioredis') && !acme.includes('pino'));
  assert.ok(responder?.includes('ioredis') && !responder.includes('acme-client'));
  assert.ok(all?.includes('ioredis') && all.includes('acme-client') && !all.includes('axios'));
});
