import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { choosePlace, findCall } from '../../../../services/cli/init/place.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const packaged = '/usr/lib/quarry/node_modules/quarry/services/cli/quarry.js';
const checkout = '/srv/quarry/services/cli/quarry.js';
const neither = { systemd: false, compose: false };
const machine = { launcher: checkout, etc: '/etc/quarry', folder: '/here', isRoot: true, hasUnit: false };

test('main.ini is that of the service as root with the package, or with --systemd, else one in the folder', () => {
  const own = { kind: 'here', file: '/here/main.ini', data: '/here/quarry-data' };
  const service = { kind: 'system', file: '/etc/quarry/main.ini', data: '/var/lib/quarry' };
  assert.deepEqual(choosePlace(undefined, neither, machine), own);
  assert.deepEqual(choosePlace(undefined, neither, { ...machine, launcher: packaged }), service);
  assert.deepEqual(choosePlace(undefined, neither, { ...machine, launcher: packaged, isRoot: false }), own);
  assert.deepEqual(choosePlace(undefined, { ...neither, systemd: true }, machine), service);
  assert.deepEqual(choosePlace('sub/my.ini', neither, machine), {
    ...{ kind: 'here', file: '/here/sub/my.ini', data: '/here/sub/quarry-data' },
  });
  // Without a unit it is nobody's service yet.
  assert.deepEqual(choosePlace('/etc/quarry/main.ini', neither, machine), { ...service, kind: 'here' });
  assert.deepEqual(choosePlace('/etc/quarry/main.ini', neither, { ...machine, hasUnit: true }), service);
  const compose = { ...neither, compose: true };
  assert.deepEqual(choosePlace(undefined, compose, { ...machine, launcher: packaged }), {
    ...{ kind: 'compose', file: '/here/main.ini', data: '/var/lib/quarry' },
  });
});

test('what does not go together is refused', () => {
  const fault = (named: string | undefined, ways: { systemd: boolean; compose: boolean }) => () =>
    choosePlace(named, ways, machine);
  assert.throws(fault(undefined, { systemd: true, compose: true }), /two ways: give one of them$/);
  assert.throws(fault('my.ini', { ...neither, systemd: true }), /the units read \/etc\/quarry\/main\.ini/);
  assert.throws(fault('my.conf', neither), /my\.conf has to end in \.ini$/);
});

test('quarry is called as it can be called there', async () => {
  await using dir = await tempDir();
  const [cli, bin] = [join(dir.path, 'quarry/services/cli'), join(dir.path, 'bin')];
  await Promise.all([mkdir(cli, { recursive: true }), mkdir(bin)]);
  await writeFile(join(cli, 'quarry'), '#!/bin/sh\n');
  await chmod(join(cli, 'quarry'), 0o755);
  const program = { launcher: join(cli, 'quarry.js') };
  const env = { PATH: bin };
  assert.equal(findCall({ launcher: packaged }, env, '/here'), 'quarry');
  assert.equal(findCall(program, env, join(dir.path, 'quarry')), 'npx quarry');
  assert.equal(findCall(program, env, '/here'), join(cli, 'quarry'));
  await symlink(join(cli, 'quarry'), join(bin, 'quarry'));
  assert.equal(findCall(program, env, '/here'), 'quarry');
  // npm puts folders of its own there, for the time being.
  assert.equal(findCall(program, { ...env, npm_command: 'exec' }, '/here'), join(cli, 'quarry'));
});
