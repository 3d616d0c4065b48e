import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { tempDir } from '../support/temp-dir.ts';

const gate = join(import.meta.dirname, '../support/run-gate.ts');

/** Runs scripts as `npm run ok` does, each a line of the shell. */
async function runGate(scripts: Record<string, string>) {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'package.json'), JSON.stringify({ scripts }));
  const running = promisify(execFile)(process.execPath, [gate, ...Object.keys(scripts)], { cwd: dir.path });
  const { code = 0, stdout, stderr } = await running.catch(error => error);
  return { code, stdout, stderr };
}

test('the gate runs its steps beside each other, and shows what each has said, the failed ones at the end', async () => {
  // Each of the two waits for the other.
  const meet = (mine: string, other: string) => `touch ${mine}; until [ -e ${other} ]; do sleep 0.02; done`;
  const { code, stdout, stderr } = await runGate({
    bad: `${meet('a', 'b')}; echo what is wrong; echo and where >&2; exit 3`,
    good: `${meet('b', 'a')}; echo all is well`,
  });
  assert.equal(code, 3);
  assert.match(stdout, /^== bad failed, see the end$/m);
  assert.match(stdout, /^== good\nall is well$/m);
  assert.match(stdout, /\n== bad\nwhat is wrong\nand where\n$/);
  assert.equal(stderr, 'failed: bad (3)\n');
});

test('the gate ends well where all of its steps do', async () => {
  assert.deepEqual(await runGate({ one: 'echo 1' }), { code: 0, stdout: '== one\n1\n', stderr: '' });
});
