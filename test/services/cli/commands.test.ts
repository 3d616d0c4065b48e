import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { commands } from '../../../services/cli/commands.ts';

const root = join(import.meta.dirname, '../../..');

/** The packages that one process has loaded after each of these steps, one after the other. */
async function packagesAfter(...steps: string[]): Promise<string[][]> {
  const program = `const { commands } = await import(${JSON.stringify(join(root, 'services/cli/commands.ts'))});
const { createRequire } = await import('node:module');
const tell = () => {
  const loaded = Object.keys(createRequire(import.meta.url).cache);
  console.log(JSON.stringify(loaded.flatMap(path => /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(path)?.[1] ?? [])));
};
${steps.map(step => `${step};\ntell();`).join('\n')}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  return stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
}

const load = (...names: string[]) => `for (const name of ${JSON.stringify(names)}) await commands[name]()`;

test('a command is loaded when it is wanted, and with it only what it needs', async () => {
  const [[none, responder], [acme, all]] = await Promise.all([
    packagesAfter(load(), load('responder')),
    packagesAfter(load('acme'), load(...Object.keys(commands))),
  ]);
  assert.deepEqual(none, []);
  assert.ok(acme?.includes('tldts') && !acme.includes('ioredis') && !acme.includes('pino'));
  assert.ok(responder?.includes('ioredis') && !responder.includes('tldts'));
  assert.ok(all?.includes('ioredis') && !all.includes('acme-client') && !all.includes('axios'));
});

test('what only some configurations need is loaded for them alone', async () => {
  const openLog = (format: string) =>
    `await (await import(${JSON.stringify(join(root, 'shared/base/log.ts'))})).openLog(
  { level: 'silent', destination: 'stderr', format: '${format}' })`;
  const [, asJson, asText] = await packagesAfter(load('renewals', 'up'), openLog('json'), openLog('text'));
  assert.ok(asJson?.includes('pino') && !asJson.includes('pino-pretty') && !asJson.includes('cron-parser'));
  assert.ok(asText?.includes('pino-pretty'));
});
