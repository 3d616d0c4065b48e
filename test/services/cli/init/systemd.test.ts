import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import {
  needSystemd,
  type Parts,
  prepareService,
  startService,
} from '../../../../services/cli/init/systemd.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const root = join(import.meta.dirname, '../../../..');
const launcher = join(root, 'services/cli/quarry.js');

/** A machine with systemd, as far as commands and folders make one. */
async function startMachine(user: { isThere: boolean }) {
  const dir = await tempDir();
  const place = (name: string) => join(dir.path, name);
  const paths = {
    running: place('run'),
    packaged: place('packaged'),
    units: place('units'),
    etc: place('etc'),
  };
  const [bin, log] = [place('bin'), place('log')];
  for (const folder of [bin, paths.running, paths.packaged, paths.units]) await mkdir(folder);
  const there = place('user');
  if (user.isThere) await writeFile(there, '');
  const commands = {
    systemctl: `[ $1 = is-active ] || exit 0; echo is-active >>${there}.looks; [ $(wc -l <${there}.looks) -ge 3 ] || { echo activating; exit 3; }; echo active`,
    useradd: `touch ${there}`,
    id: `[ -e ${there} ] || { echo 'no such user' >&2; exit 1; }; echo 977`,
  };
  for (const [name, act] of Object.entries(commands)) {
    await writeFile(join(bin, name), `#!/bin/sh\n[ ${name} = id ] || echo "${name} $*" >>${log}\n${act}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const said: string[] = [];
  const parts: Parts = {
    ...{
      paths,
      program: { node: '/opt/node 100%/node', launcher },
      path: `${bin}:/usr/bin:/bin`,
      isRoot: true,
    },
    say: line => void said.push(line),
  };
  const ran = async () =>
    (await readFile(log, 'utf8').catch(() => '')).split('\n').filter(line => line !== '');
  return { parts, said, ran, bin, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

const clock = { sleep: async () => {} };
const looks = Array.from({ length: 3 }, () => 'systemctl is-active quarry.service');

suite('quarry init --systemd', () => {
  test('says in one line what stands in the way, before it asks', async () => {
    await using machine = await startMachine({ isThere: true });
    const { parts } = machine;
    const program = { node: '/usr/bin/env', launcher: '/usr/bin/env' };
    needSystemd({ ...parts, program });
    assert.throws(() => needSystemd({ ...parts, isRoot: false }), /takes root: run it by sudo$/);
    const none = { ...parts.paths, running: '/nowhere' };
    assert.throws(
      () => needSystemd({ ...parts, paths: none }),
      /systemd does not run here, so nothing is written/,
    );
    const inHome = { node: '/usr/bin/env', launcher: '/root/quarry/services/cli/quarry.js' };
    assert.throws(
      () => needSystemd({ ...parts, program: inHome }),
      /^Error: \/root\S+ lies in \/root, where .* cannot read it/,
    );
    await mkdir(join(parts.paths.packaged), { recursive: true });
    await writeFile(join(parts.paths.packaged, 'quarry.service'), '');
    needSystemd({ ...parts, program: inHome });
  });

  test('makes the user and the folders, and writes the units with this program in them', async () => {
    await using machine = await startMachine({ isThere: false });
    const { parts, said, ran } = machine;
    assert.deepEqual(await prepareService(parts), { uid: 977, gid: 977 });
    await startService({ ...parts, clock }, false);
    assert.deepEqual(await ran(), [
      'useradd --system --home-dir /var/lib/quarry --shell /usr/sbin/nologin quarry',
      'systemctl daemon-reload',
      'systemctl enable quarry.service',
      'systemctl --no-block restart quarry.service',
      ...looks,
    ]);
    const { units, etc } = parts.paths;
    assert.equal((await stat(join(etc, 'credentials'))).mode & 0o777, 0o700);
    for (const [name, role] of [
      ['quarry.service', 'up'],
      ['quarry@.service', '%i'],
    ] as const) {
      const own = await readFile(join(root, 'services/systemd', name), 'utf8');
      const start = `ExecStart="/opt/node 100%%/node" ${launcher} ${role} /etc/quarry/main.ini`;
      assert.equal(await readFile(join(units, name), 'utf8'), own.replace(/^ExecStart=.*$/m, start));
    }
    assert.deepEqual(
      said.map(line => line.replace(`${units}/`, '')),
      [
        'runs useradd --system --home-dir /var/lib/quarry --shell /usr/sbin/nologin quarry',
        'writes quarry.service',
        'writes quarry@.service',
        'runs systemctl daemon-reload',
        'runs systemctl enable quarry.service',
        'runs systemctl --no-block restart quarry.service',
        'waits until it is ready',
        'it is ready',
      ],
    );
    await prepareService(parts);
    assert.equal(said.length, 8, 'nothing is done twice');
  });

  test('takes the units and the user of the package where it is there', async () => {
    await using machine = await startMachine({ isThere: true });
    const { parts, ran } = machine;
    await writeFile(join(parts.paths.packaged, 'quarry.service'), '');
    assert.deepEqual(await prepareService(parts), { uid: 977, gid: 977 });
    await startService({ ...parts, clock }, true);
    assert.deepEqual(await ran(), [
      'systemctl daemon-reload',
      'systemctl enable quarry.service',
      'systemctl --no-block start quarry.service',
      ...looks,
    ]);
    await assert.rejects(stat(join(parts.paths.units, 'quarry.service')), { code: 'ENOENT' });
  });

  test('says where the service has ended, and where it is not ready yet', async () => {
    await using machine = await startMachine({ isThere: true });
    const state = (text: string) =>
      writeFile(
        join(machine.bin, 'systemctl'),
        `#!/bin/sh\n[ $1 != is-active ] || { echo ${text}; exit 3; }\n`,
      );
    await state('failed');
    await assert.rejects(
      startService({ ...machine.parts, clock }, false),
      /the service has ended: journalctl/,
    );
    await state('activating');
    await startService({ ...machine.parts, clock }, false);
    assert.equal(machine.said.at(-1), 'it is not ready yet: systemctl status quarry says why');
  });

  test('says which command failed, and its last words', async () => {
    await using machine = await startMachine({ isThere: true });
    await writeFile(
      join(machine.bin, 'systemctl'),
      '#!/bin/sh\necho one >&2\necho "Access denied" >&2\nexit 4\n',
    );
    await assert.rejects(startService({ ...machine.parts, clock }, false), {
      message: 'systemctl daemon-reload failed: Access denied',
    });
  });
});
