import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { VERSION } from '../../../shared/base/version.ts';
import { callQuarry, callQuarryIn } from '../../support/call-quarry.ts';
import { freePort } from '../../support/free-port.ts';
import { tempDir } from '../../support/temp-dir.ts';

const main = join(import.meta.dirname, '../../../services/cli/main.ts');

/** Runs `quarry` to its end. */
async function quarry(args: string[], { cwd = '/', env = {} as Record<string, string> } = {}) {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const options = { cwd, env: { PATH, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }), ...env } };
  const {
    code = 0,
    stdout,
    stderr,
  } = await promisify(execFile)(process.execPath, [main, ...args], options).catch(e => e);
  return { code, stdout, stderr };
}

test('quarry says how it is used, and its version', async () => {
  const called = [['help'], ['--help'], ['-h']].map(words => callQuarry(words));
  const usages = await Promise.all([quarry([]), ...called]);
  for (const { code, stdout } of usages) {
    assert.equal(code, 0);
    assert.match(stdout, /^quarry .*\n\n {2}quarry init [\s\S]*\n {2}quarry up FILE…/);
  }
  const one = await callQuarry(['up', '--help']);
  assert.match(one.stdout, /^quarry up FILE…\n\n.*\n\nFor example: quarry up main\.ini\n$/);
  assert.deepEqual(await quarry(['--version']), { code: 0, stdout: `${VERSION}\n`, stderr: '' });
});

test('quarry ends with 2 and one line for wrong words', async () => {
  const called = [
    ['upp', 'main.ini'],
    ['up', '--fast'],
  ].map(words => callQuarry(words));
  const [noFile, noCommand, noOption] = await Promise.all([quarry(['up']), ...called]);
  assert.deepEqual(noFile, {
    code: 2,
    stdout: '',
    stderr: 'quarry: up needs a configuration file: quarry up main.ini\n',
  });
  const unknown = 'quarry: there is no command "upp", did you mean up? quarry --help has them all\n';
  assert.deepEqual(noCommand, { code: 2, stdout: '', stderr: unknown });
  const fast = 'quarry: there is no option --fast here: this command has none\n';
  assert.deepEqual(noOption, { code: 2, stdout: '', stderr: fast });
});

test('quarry ends with 2 and one line that names file, line, section and option', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await writeFile(file, '[account]\ndir = /a\n[auth a]\nipp = 127.0.0.1\n');
  const roles = ['up', 'worker'].map(role => quarry([role, 'main.ini'], { cwd: dir.path }));
  const called = callQuarryIn(dir.path, ['check', 'main.ini']);
  for (const { code, stdout, stderr } of await Promise.all([called, ...roles])) {
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^main\.ini:4: \[auth "?a"?\] ipp: .*\n$/);
  }
});

const good = '[account]\ndir = account\n[auth a]\nip = 127.0.0.1\ndomain = *.example.org\n';

test('quarry ends with 2 and one line where a program that it is to run is missing', async () => {
  await using dir = await tempDir();
  const verification = '[verification p]\ntype = program\nchallenge = dns-01\ncommand = hooks/add\n';
  const admin = `[admin]\nlistener = 127.0.0.1:${await freePort()}\n`; // of the worker, until it ends
  await writeFile(join(dir.path, 'main.ini'), good + verification + admin);
  const checked = callQuarry(['check', join(dir.path, 'main.ini')]);
  const ran = quarry(['worker', 'main.ini'], { cwd: dir.path, env: { REDIS_URL: 'redis://127.0.0.1:1' } });
  for (const { code, stderr } of await Promise.all([checked, ran])) {
    assert.equal(code, 2);
    const told = stderr.split('\n').filter((line: string) => line !== '' && !line.startsWith('{'));
    const program = join(dir.path, 'hooks/add');
    assert.deepEqual(
      told.map((line: string) => line.replace(`${dir.path}/main.ini`, 'main.ini')),
      [`main.ini:9: [verification "p"] command: ${program} cannot be run: no such file or directory`],
    );
  }
});

test('quarry with one role ends with 1 and one line where no Redis is configured', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'main.ini'), good);
  const { code, stderr } = await quarry(['worker', 'main.ini'], { cwd: dir.path });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^quarry: one role alone needs a Redis that others share: quarry up runs all roles with one of its own; else set \[redis\] url, sentinel or cluster, or REDIS_URL$/m,
  );
});

test('quarry up ends with 1 and one line where there is no redis-server', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'main.ini'), good);
  const { code, stderr } = await quarry(['up', 'main.ini'], { cwd: dir.path, env: { PATH: dir.path } });
  assert.equal(code, 1);
  assert.match(stderr, /^quarry: no Redis is configured and redis-server is not installed: .*$/m);
});

for (const version of ['20.19.0', '24.4.1'])
  test(`quarry says in one line that Node ${version} is too old`, async () => {
    const old = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
    const launcher = join(import.meta.dirname, '../../../services/cli/quarry.js');
    const running = promisify(execFile)(process.execPath, [
      '--import',
      `data:text/javascript,${old}`,
      launcher,
    ]);
    const { code, stdout, stderr } = await running.catch(error => error);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^quarry: Node 24\.5 or newer is needed, and this is 2\d\.\d+\.\d; .*\n$/);
    assert.ok(stderr.includes(version));
  });

test('quarry says how to bring its packages where they are missing, as in a checkout that is new', async () => {
  await using dir = await tempDir();
  for (const tree of ['package.json', 'services', 'shared'])
    await symlink(join(import.meta.dirname, '../../..', tree), join(dir.path, tree));
  const args = [
    '--preserve-symlinks',
    '--preserve-symlinks-main',
    'services/cli/quarry.js',
    'check',
    'main.ini',
  ];
  const running = promisify(execFile)(process.execPath, args, { cwd: dir.path });
  const { code, stderr } = await running.catch(error => error);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^quarry: Cannot find package '.*; npm ci in the folder of Quarry brings what is missing\n$/,
  );
});
