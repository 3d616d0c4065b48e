import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { bring, fromGo } from '../support/bring.ts';

const actionlint = await bring(fromGo('actionlint', 'github.com/rhysd/actionlint/cmd/actionlint', 'v1.7.12'));
const skip = 'missing' in actionlint && actionlint.missing;

test('actionlint finds nothing in the workflows', { skip }, async () => {
  assert.ok('path' in actionlint);
  const root = join(import.meta.dirname, '../..');
  const running = promisify(execFile)(actionlint.path, ['-no-color'], { cwd: root });
  const { stdout } = await running.catch(error => error); // what it finds is there, too
  assert.equal(stdout, '');
});
