import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { commands } from '../../../services/cli/commands.ts';

const root = join(import.meta.dirname, '../../..');

/** The packages that a process has loaded once it has these commands, and has done this too. */
async function packagesOf(names: string[], more = ''): Promise<string[]> {
  const ask = `const { commands } = await import(${JSON.stringify(join(root, 'services/cli/commands.ts'))});
for (const name of ${JSON.stringify(names)}) await commands[name]();
${more}
const { createRequire } = await import('node:module');
const loaded = Object.keys(createRequire(import.meta.url).cache);
console.log(JSON.stringify(loaded.flatMap(path => /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(path)?.[1] ?? [])));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', ask]);
  return [...new Set(JSON.parse(stdout) as string[])];
}

test('a command is loaded when it is wanted, and with it only what it needs', async () => {
  const [none, acme, responder, all] = await Promise.all(
    [[], ['acme'], ['responder'], Object.keys(commands)].map(names => packagesOf(names)),
  );
  assert.deepEqual(none, []);
  assert.ok(acme?.includes('tldts') && !acme.includes('ioredis') && !acme.includes('pino'));
  assert.ok(responder?.includes('ioredis') && !responder.includes('tldts'));
  assert.ok(all?.includes('ioredis') && !all.includes('acme-client') && !all.includes('axios'));
});

test('what only some configurations need is loaded for them alone', async () => {
  const openLog = (format: string) => `
const { openLog } = await import(${JSON.stringify(join(root, 'shared/base/log.ts'))});
await openLog({ level: 'silent', destination: 'stderr', format: '${format}' });`;
  const [asJson, asText] = await Promise.all(
    ['json', 'text'].map(format => packagesOf(['renewals', 'up'], openLog(format))),
  );
  assert.ok(asJson?.includes('pino') && !asJson.includes('pino-pretty') && !asJson.includes('cron-parser'));
  assert.ok(asText?.includes('pino-pretty'));
});
