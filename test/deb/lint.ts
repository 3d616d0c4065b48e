import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { findCommand } from '../support/find-command.ts';
import { aptGet, aptUpdate } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');

/** With another program in Node's place, which would take most of the time: looked at is all the rest. */
async function build(into: string, umask: string): Promise<string> {
  await mkdir(into);
  const node = `${findCommand('true')}`;
  const words = [join(root, '.ci/deb/main.ts'), '--fast', '--node', node, '--into', into];
  const script = `umask ${umask}; exec "$0" "$@"`;
  await run('sh', ['-c', script, process.execPath, ...words], { env: { ...process.env, TMPDIR: into } });
  const file = (await readdir(into)).find(name => name.endsWith('.deb'));
  return join(into, `${file}`);
}

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());

suite('the file of the Debian package', async () => {
  const [one, other] = [await build(join(dir.path, '1'), '022'), await build(join(dir.path, '2'), '077')];

  test('has the same bytes whoever builds it, and wherever', async () => {
    const digest = async (file: string) =>
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex');
    assert.equal(await digest(one), await digest(other));
  });

  test('has no fault that lintian calls an error', async t => {
    if (!findCommand('lintian')) {
      await aptUpdate();
      await aptGet('install', '-y', '--no-install-recommends', 'lintian').catch(() => {});
    }
    if (!findCommand('lintian')) return t.skip('there is no lintian, and Debian is not to be had');
    // That it is not packed is for this test.
    const unpacked = 'uses-no-compression-for-data-tarball,uses-no-compression-for-control-tarball';
    const { stdout } = await run('lintian', [
      '--allow-root',
      '--fail-on',
      'none',
      '--suppress-tags',
      unpacked,
      one,
    ]);
    assert.deepEqual(
      stdout.split('\n').filter(line => line.startsWith('E:')),
      [],
    );
  });
});
