import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { callQuarry } from '../support/call-quarry.ts';
import { makeCsr } from '../support/csr.ts';
import { shownCommands } from '../support/docs.ts';
import { startFleet } from '../support/fleet.ts';
import { tempDir } from '../support/temp-dir.ts';

// Backup and restore of one machine, by the lines of operation.md. The test does the work of
// systemctl, and the root of the file system is a folder.

test('what the page has backed up is all that a new machine needs', async () => {
  await using dir = await tempDir();
  const root = join(dir.path, 'root');
  const state = join(root, 'var/lib/quarry');
  const etc = join(root, 'etc/quarry');
  for (const folder of [join(state, 'storage'), etc]) await mkdir(folder, { recursive: true });
  await using fleet = await startFleet({
    roles: [],
    redisUrl: false,
    account: `accept-terms-of-service = yes\ndir = ${state}/account`,
    mgmt: `secret-file = ${state}/account/installation.key`,
    redis: `dir = ${state}/redis`,
    blocks: `[storage "file"]
type = file
directory = ${state}/storage
[auth "all"]
all = yes
domain = *.example.org
`,
  });
  await writeFile(join(etc, 'main.ini'), await fleet.ini());
  const [kept, lost] = [
    await makeCsr({ names: ['kept.example.org'] }),
    await makeCsr({ names: ['lost.example.org'] }),
  ];
  await writeFile(join(etc, 'lost.csr'), lost.csrPem);
  /** The lines of the page that hold this, here; what systemctl has been asked to do is done by then. */
  const run = async (holding: string) => {
    const [stop, command = '', start] = shownCommands(holding).trim().split('\n');
    assert.deepEqual([stop, start], ['systemctl stop quarry', 'systemctl start quarry']);
    assert.ok(command.includes(' -C / '), command);
    await promisify(execFile)('sh', ['-c', command.replace('-C /', `-C ${root}`)], { cwd: dir.path });
  };

  const before = await fleet.start('up');
  const first = await fleet.post(kept.csrPem);
  assert.equal(first.status, 200, first.body);
  const files = [join(etc, 'lost.csr'), join(etc, 'main.ini')];
  const blocked = await callQuarry(['keys', 'block', '--reason', 'it was seen', ...files]);
  assert.deepEqual([blocked.code, blocked.stderr], [0, '']);
  await before.stop();
  const askedBefore = fleet.pebble.requestLog().length;
  await run('tar -C / -cpzf');
  await rm(root, { recursive: true });
  await mkdir(root);

  await run('tar -C / -xpzf');
  const after = await fleet.start('up');
  const again = await fleet.post(kept.csrPem);
  assert.equal(again.body, first.body, 'out of the storage');
  const refused = await fleet.post(lost.csrPem);
  assert.deepEqual([refused.status, /it was seen/.test(refused.body)], [403, true], refused.body);
  const asked = fleet.pebble.requestLog().slice(askedBefore);
  assert.deepEqual(
    asked.filter(line => line.startsWith('POST ')),
    [],
    'neither an account nor an order is made',
  );
  await after.stop();
});
