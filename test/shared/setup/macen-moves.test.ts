import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { check } from '../../../services/cli/check.ts';
import { shownCommands } from '../../support/docs.ts';
import { tempDir } from '../../support/temp-dir.ts';

// The lines of macen.md that move a machine over and back. The root of the file system is a folder, and what
// needs a machine of its own says only that it was asked.

const stubs = `sudo() { [ "$1" = -u ] && shift 2; "$@"; }
apt() { echo "apt $*"; }
systemctl() { echo "systemctl $*"; }
quarry() { echo "quarry $1"; }
chown() { echo "chown $2"; }
`;

async function run(holding: string, root: string): Promise<string[]> {
  const script = shownCommands(holding).replaceAll(/\/(?=etc\/|var\/lib\/)/g, `${root}/`);
  const { stdout } = await promisify(execFile)('sh', ['-euc', stubs + script]);
  return stdout.trim().split('\n');
}

test('the lines of the page move a machine from macen to Quarry, and back', async () => {
  await using dir = await tempDir();
  const at = (path: string) => join(dir.path, path);
  for (const folder of ['etc/macen/account', 'etc/macen/storage/ab/cd', 'etc/quarry', 'var/lib/quarry'])
    await mkdir(at(folder), { recursive: true });
  const ini = `[account]
dir = ${at('etc/macen/account/')}
accept-terms-of-service = yes
[storage "file"]
type = file
directory = ${at('etc/macen/storage')}
[auth "web"]
ip = 192.0.2.1
domain = www.example.org
hmac_type = sha256
hmac_key = A1YP67armNf3cBrecyJHdb035
`;
  await writeFile(at('etc/macen/main.ini'), ini, { mode: 0o644 });
  await writeFile(at('etc/macen/account/account.pem'), 'a key', { mode: 0o644 });
  await writeFile(at('etc/macen/storage/ab/cd/cert.pem'), 'one that is revoked later');

  const over = await run('systemctl disable --now macen', dir.path);
  assert.match(over.shift() ?? '', /^apt install \.\/quarry_.*_amd64\.deb$/);
  assert.deepEqual(over, [
    'systemctl disable --now macen',
    'chown quarry:',
    'quarry check',
    'systemctl enable --now quarry',
  ]);
  const written: string[] = [];
  await check([at('etc/quarry/main.ini')], {}, text => void written.push(text));
  const said = written.join('');
  assert.match(said, /^account: /m);
  assert.ok(said.includes(at('var/lib/quarry/account')), said);
  assert.doesNotMatch(said, /warning|etc\/macen/, 'no key is open to others, and nothing is left behind');
  assert.equal((await stat(at('etc/quarry/main.ini'))).mode & 0o777, 0o600);

  await promisify(execFile)('rm', ['-r', at('var/lib/quarry/storage/ab')]);
  await writeFile(at('var/lib/quarry/storage/new'), 'of Quarry');
  const back = await run('systemctl disable --now quarry', dir.path);
  assert.deepEqual(back, ['systemctl disable --now quarry', 'chown macen:', 'systemctl enable --now macen']);
  assert.equal(await readFile(at('etc/macen/main.ini'), 'utf8'), ini);
  assert.equal(await readFile(at('etc/macen/account/account.pem'), 'utf8'), 'a key');
  assert.equal(await readFile(at('etc/macen/storage/new'), 'utf8'), 'of Quarry');
  await assert.rejects(stat(at('etc/macen/storage/ab')), 'a revoked certificate does not come back');
});
