import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { substitute } from '../../../shared/config/substitute.ts';
import { tempDir } from '../../support/temp-dir.ts';

const env = (name: string) => `\${env:${name}}`;
const credential = (name: string) => `\${credential:${name}}`;

test('substitute() puts variables of the environment in, whole or in part, and tells what came in', () => {
  const found = substitute(`https://${env('HOST')}:${env('PORT')}/`, {
    HOST: 'ca.example.org',
    PORT: ' 14000 ',
  });
  assert.equal(found.text, 'https://ca.example.org:14000/');
  assert.deepEqual(found.hidden, [
    { written: env('HOST'), value: 'ca.example.org' },
    { written: env('PORT'), value: '14000' },
  ]);
});

test('substitute() leaves all else with a $ as it is, and does not look into what came in', () => {
  for (const text of ['$HOME', `\${HOME}`, '$$', `a$&b`, `\${file:/etc/passwd}`, `{env:HOME}`])
    assert.deepEqual(substitute(text, { HOME: 'x' }), { text, hidden: [] });
  const within = `${env('HOME')}$&$1`;
  assert.equal(substitute(env('A'), { A: within, HOME: 'x' }).text, within);
});

test("substitute() finds a credential in systemd's folder, else in a container's, where it may be a link", async () => {
  await using dir = await tempDir();
  const [systemd, container] = [join(dir.path, 'systemd'), join(dir.path, 'container')];
  await mkdir(systemd);
  await mkdir(join(container, '..data'), { recursive: true });
  await writeFile(join(systemd, 'both'), 'of systemd\r\n');
  await writeFile(join(container, 'both'), 'of the container\n');
  await writeFile(join(container, '..data', 'key'), 'linked\n');
  await symlink(join('..data', 'key'), join(container, 'key'));
  const read = (name: string, folder?: string) =>
    substitute(credential(name), { CREDENTIALS_DIRECTORY: folder }, container).text;
  assert.equal(read('both', systemd), 'of systemd');
  assert.equal(read('both'), 'of the container');
  assert.equal(read('key', systemd), 'linked');
});

test('substitute() finds a credential by its own name, though systemd loaded the whole folder that it is in', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'quarry_web'), 'of the folder');
  await writeFile(join(dir.path, 'quarry_dns'), 'of the folder');
  await writeFile(join(dir.path, 'dns'), 'of its own');
  const read = (name: string) =>
    substitute(credential(name), { CREDENTIALS_DIRECTORY: dir.path }, '/nowhere').text;
  assert.deepEqual(
    [read('web'), read('quarry_web'), read('dns')],
    ['of the folder', 'of the folder', 'of its own'],
  );
});

for (const [what, text, reason] of [
  [
    'a variable that is not set',
    env('NOWHERE'),
    /^needs the variable NOWHERE of the environment, which is not/,
  ],
  ['an empty variable', env('EMPTY'), /^needs the variable EMPTY of the environment, which is not set$/],
  ['a variable of two lines', env('LINES'), /^needs the variable LINES .* has more than one line$/],
  ['a name that no variable has', env('s3cret value'), /^names no variable of the environment: letters/],
  ['a name that is a path', credential('../s3cret'), /^names no credential: letters, digits and/],
  ['a name that leads out', credential('..'), /^names no credential/],
  ['no name', credential(''), /^names no credential/],
  ['what has no end', '${env:s3cret', /^has no } behind \$\{env:$/],
] as const) {
  test(`substitute() refuses ${what}, and repeats nothing of it`, () => {
    const values = { EMPTY: ' ', LINES: 's3cret\nlines' };
    assert.throws(
      () => substitute(`before ${text}`, values),
      ({ message }: Error) => reason.test(message) && !message.includes('s3cret'),
    );
  });
}

for (const [what, bytes, reason] of [
  [
    'is absent',
    undefined,
    /^needs the credential key, which is not in .*container \(and CRED\w+ is not set\)$/,
  ],
  ['is empty', '\n', /^needs the credential key, but \S+\/key is empty$/],
  ['has two lines', 's3cret\nlines\n', /^needs the credential key, but \S+\/key has more than one line$/],
  ['is large', 's3cret'.repeat(20_000), /has more than 64 KB, which is no secret$/],
  ['is no text', Buffer.from([0x73, 0xff, 0xfe]), /is not UTF-8 text$/],
] as const) {
  test(`substitute() refuses a credential that ${what}, and repeats nothing of it`, async () => {
    await using dir = await tempDir();
    const container = join(dir.path, 'container');
    await mkdir(container);
    if (bytes !== undefined) await writeFile(join(container, 'key'), bytes);
    assert.throws(
      () => substitute(credential('key'), {}, container),
      ({ message }: Error) => reason.test(message) && !message.includes('s3cret'),
    );
  });
}
