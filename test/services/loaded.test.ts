import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../..');

/** The files that Node loads for a module, in a process of its own. */
async function filesOf(module: string): Promise<string[]> {
  const program = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({
      load(url, context, next) {
        loaded.push(url);
        return next(url, context);
      },
    });
    await import(${JSON.stringify(join(root, module))});
    console.log(JSON.stringify(loaded));
    process.exit();
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, maxBuffer: 2 ** 24 });
  return JSON.parse(stdout);
}

test('a worker loads no other ACME client, and no library that makes certificates', async () => {
  const files = await filesOf('services/worker/worker.ts');
  assert.ok(files.some(file => file.includes('/bullmq/')));
  assert.deepEqual(
    files.filter(file => /\/(acme-client|axios|@peculiar|pkijs)\//.test(file)),
    [],
  );
});

test('a scheduler without mail and profiles loads no library for them', async () => {
  const files = await filesOf('services/scheduler/scheduler.ts');
  assert.ok(files.some(file => file.includes('/bullmq/')));
  assert.deepEqual(
    files.filter(file => /\/(nodemailer|pkijs|dns-packet)\//.test(file)),
    [],
  );
});
