import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { check } from '../../../services/cli/check.ts';
import { describeExposed, findExposure } from '../../../services/cli/exposed-files.ts';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { tempDir } from '../../support/temp-dir.ts';

const OTHERS = 1001;
const folder = { mode: 0o40755, gid: 0 };
const shut = { mode: 0o40700, gid: 0 };
const nobody = { isRoot: false, groups: [1000] };

for (const [what, file, folders, looker, to] of [
  ['that every user may read', { mode: 0o100644, gid: 0 }, [folder], nobody, 'everyone'],
  ['that every user may change', { mode: 0o100602, gid: 0 }, [folder], nobody, 'everyone'],
  ['of its owner alone', { mode: 0o100600, gid: OTHERS }, [folder], nobody, undefined],
  ['in a folder that lets nobody pass', { mode: 0o100644, gid: 0 }, [folder, shut], nobody, undefined],
  ['of a group of others', { mode: 0o100640, gid: OTHERS }, [folder], nobody, 'group'],
  ["of root's group", { mode: 0o100640, gid: 0 }, [folder], nobody, undefined],
  ['of a group of the user who looks', { mode: 0o100640, gid: 1000 }, [folder], nobody, undefined],
  [
    'of a group, where root looks',
    { mode: 0o100640, gid: OTHERS },
    [folder],
    { isRoot: true, groups: [] },
    undefined,
  ],
  ['of a group that may not pass', { mode: 0o100640, gid: OTHERS }, [shut], nobody, undefined],
  [
    'of a group for whose sake a folder is open',
    { mode: 0o100640, gid: OTHERS },
    [{ mode: 0o40750, gid: OTHERS }, folder],
    nobody,
    'group',
  ],
] as const) {
  test(`findExposure() says who may read a file ${what}`, () => {
    assert.equal(findExposure(file, folders, looker)?.to, to);
  });
}

const auth = '[auth "a"]\nhmac_type = sha256\ndomain = a.example.org\n';

/** What is said of a configuration in a folder that all may pass, beside files of these modes. */
async function warnings(text: string, files: Record<string, number>, mode = 0o600): Promise<string[]> {
  await using dir = await tempDir();
  await chmod(dir.path, 0o755);
  const at = (name: string) => join(dir.path, name);
  for (const [name, ofFile] of Object.entries({ 'main.ini': mode, ...files })) {
    await mkdir(dirname(at(name)), { recursive: true });
    await writeFile(
      at(name),
      name === 'main.ini' ? text.replaceAll('DIR', dir.path) : 'a key of many words\n',
    );
    await chmod(at(name), ofFile);
  }
  const config = await loadConfig([at('main.ini')], { CREDENTIALS_DIRECTORY: dir.path });
  return (await describeExposed(config)).map(line => line.replaceAll(`${dir.path}/`, ''));
}

test('describeExposed() names each file that others may read, the option that it is of, and what to do', async () => {
  const text = `[account]\ndir = DIR/account\n${auth}hmac_key_file = DIR/key\nhmac_key_file = DIR/hidden\n[trail]\ndir = DIR/t
key-file = DIR/trail.key\n[redis]\nurl = redis://r\npassword-file = DIR/redis\n`;
  const files = { 'account/account.pem': 0o640, key: 0o644, hidden: 0o600, 'trail.key': 0o606, redis: 0o604 };
  assert.deepEqual((await warnings(text, { ...files, 'account/account.pem': 0o644 })).toSorted(), [
    '[account] dir: every user of this machine can read account/account.pem (mode 0644): chmod o-rwx account/account.pem',
    '[trail] key-file: every user of this machine can read trail.key (mode 0606): chmod o-rwx trail.key',
    'main.ini:13: [redis] password-file: every user of this machine can read redis (mode 0604): chmod o-rwx redis',
    'main.ini:6: [auth "a"] hmac_key_file: every user of this machine can read key (mode 0644): chmod o-rwx key',
  ]);
});

test('describeExposed() tells of a configuration that others may read only where a secret stands in it', async () => {
  const start = '[account]\ndir = DIR/account\n';
  assert.deepEqual(await warnings(`${start}${auth}hmac_key = a key of many words\n`, {}, 0o644), [
    'main.ini:6: [auth "a"] hmac_key: is a secret in a file that every user of this machine can read (mode 0644): chmod o-rwx main.ini',
  ]);
  for (const line of [`hmac_key = \${credential:key}`, 'hmac_key_file = DIR/key'])
    assert.deepEqual(await warnings(`${start}${auth}${line}\n`, { key: 0o600 }, 0o644), [], line);
  const proxy = (login: string) =>
    `[account]\ndir = DIR/a\nproxy = http://${login}proxy:3128\n[auth "a"]\nall = yes\n`;
  assert.deepEqual(await warnings(proxy(''), {}, 0o644), []);
  assert.match(
    (await warnings(proxy('me:secret@'), {}, 0o644)).join(),
    /:3: \[account\] proxy: is a secret in/,
  );
});

test('check() warns of it', async () => {
  await using dir = await tempDir();
  await chmod(dir.path, 0o755);
  const file = join(dir.path, 'main.ini');
  await writeFile(file, `[account]\ndir = /a\n${auth}hmac_key = a key of many words\n`, { mode: 0o644 });
  let output = '';
  await check([file], {}, written => {
    output += written;
  });
  assert.match(output, /^warning: \S+main\.ini:6: \[auth "a"\] hmac_key: is a secret in a file that every/m);
});

test('describeExposed() looks at what a link leads to, as Kubernetes mounts a secret', async () => {
  await using dir = await tempDir();
  await chmod(dir.path, 0o755);
  await mkdir(join(dir.path, '..data'));
  await writeFile(join(dir.path, '..data', 'key'), 'a key of many words', { mode: 0o644 });
  await symlink(join('..data', 'key'), join(dir.path, 'key'));
  const file = join(dir.path, 'main.ini');
  await writeFile(file, `[account]\ndir = /a\n${auth}hmac_key_file = ${dir.path}/key\n`);
  const look = async () => (await describeExposed(await loadConfig([file], {}))).length;
  assert.equal(await look(), 1);
  await chmod(join(dir.path, '..data'), 0o700);
  assert.equal(await look(), 0, 'nobody else gets there');
});
