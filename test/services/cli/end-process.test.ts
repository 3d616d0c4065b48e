import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { tempDir } from '../../support/temp-dir.ts';

const module = join(import.meta.dirname, '../../../services/cli/end-process.ts');

/**
 * @param before is run first; `pipe` is one that nobody writes to
 * @param launcher words before the program
 */
async function endAfter(
  before: string,
  launcher: string[] = [],
): Promise<{ status: unknown[]; said: string }> {
  await using dir = await tempDir();
  const pipe = join(dir.path, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const program = `import { endProcess } from ${JSON.stringify(module)};
    import { readFile } from 'node:fs';
    import { readFile as readLater } from 'node:fs/promises';
    const pipe = ${JSON.stringify(pipe)};
    process.on('exit', code => console.log('ends with', code));
    process.on('SIGTERM', () => {});
    ${before}
    setTimeout(() => endProcess(3), 50);`;
  const [command = '', ...args] = [...launcher, process.execPath, '--input-type=module', '-e', program];
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', launcher.length > 0 ? 'ignore' : 'inherit'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  const [status, said] = await Promise.all([once(child, 'exit'), text(child.stdout)]);
  return { status, said };
}

test('endProcess() ends with its code', async () => {
  assert.deepEqual(await endAfter(''), { status: [3, null], said: 'ends with 3\n' });
});

for (const read of ['readFile(pipe, () => {});', 'readLater(pipe);'])
  test(`endProcess() ends by a signal while a file system does not answer: ${read}`, async () => {
    assert.deepEqual(await endAfter(read), { status: [null, 'SIGTERM'], said: 'ends with 3\n' });
  });

/** A user who is not root may have no namespace of processes. */
const firstOfItsOwn = ['unshare', '--pid', '--fork', '--kill-child'];
const skip = spawnSync('unshare', [...firstOfItsOwn.slice(1), 'true']).status !== 0;

test('endProcess() ends the first process of a container, too, to which no signal is passed on', {
  skip,
}, async () => {
  const { status, said } = await endAfter('readFile(pipe, () => {});', firstOfItsOwn);
  assert.equal(said, 'ends with 3\n');
  assert.notDeepEqual(status, [null, 'SIGKILL'], 'it ended by itself');
});
