import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const itself = import.meta.filename;
const { caFile } = await tlsAuthority();
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const secretFile = join(dir.path, 'secret');
await writeFile(secretFile, 's3cret pass\n');
const every = [
  'renewal-failed',
  'expires-soon',
  'renewed-not-fetched',
  'renewal-explained',
  'account-paused',
  'trail-unsealed',
  'storage-failed',
];
const section = (text: string) => `${account}${auth}[notify "ops"]\n${text}\n`;
const mail = 'mail = ops@example.org\nfrom = quarry@example.org\n';

async function notifyOf(text: string) {
  const { notify } = await loadText(section(text));
  return notify[0];
}

/** [what, lines of the section, refusal] */
const refused: [string, string, RegExp][] = [
  [
    'a block that notifies nobody',
    '',
    /^main\.ini:6: \[notify "ops"\]: notifies nobody: give url, command or mail$/,
  ],
  [
    'two ways at once',
    `url = https://a.example/\n${mail}`,
    /mail: has url beside it; each needs a section of its own/,
  ],
  [
    'an event that is a typo',
    'on = renewalFailed\nurl = https://a.example/',
    /on: unknown event; known: renewal-f/,
  ],
  [
    'a webhook without TLS',
    'url = http://a.example/s3cret',
    /url: must be https:\/\/ \(http:\/\/ only for this host/,
  ],
  ['a webhook that is no URL', 'url = a.example/s3cret', /url: is not an https:\/\/ URL$/],
  [
    'a webhook with a password',
    'url = https://me:s3cret@a.example/',
    /url: must not hold a user or a password/,
  ],
  [
    'two keys',
    `url = https://a.example/\nhmac_key = s3cret\nhmac_key_file = ${secretFile}`,
    /hmac_key_file: has hmac_key b/,
  ],
  [
    'an unreadable key',
    'url = https://a.example/\nhmac_key_file = /nowhere',
    /hmac_key_file: \/nowhere cannot be read/,
  ],
  ['an empty key', 'url = https://a.example/\nhmac_key =', /hmac_key: is empty$/],
  [
    'an empty key file',
    'url = https://a.example/\nhmac_key_file = /dev/null',
    /hmac_key_file: \/dev\/null is empty$/,
  ],
  [
    'a key that a mail has no use for',
    `${mail}smtp = smtp://mx\nhmac_key = s3cret`,
    /hmac_key: unknown option/,
  ],
  [
    'a command that is not there',
    'command = ./nowhere',
    /command: nowhere cannot be run: no such file or directory$/,
  ],
  [
    'a command that is not executable',
    `command = ${itself}`,
    /command: .* cannot be run: permission denied$/,
  ],
  ['a command that is a folder', 'command = .', /command: .* cannot be run: not a file$/],
  ['a mail without a server', mail, /smtp: is missing; mail needs it$/],
  ['a mail from nobody', 'mail = ops@example.org\nsmtp = smtp://mx', /from: is missing; mail needs it$/],
  ['two addresses in one line', 'mail = a@example.org, b@example.org', /mail: is not an address such as/],
  [
    'a server of another kind',
    `${mail}smtp = imap://mx`,
    /smtp: is neither smtp:\/\/host nor smtps:\/\/host$/,
  ],
  [
    'a password in the URL',
    `${mail}smtp = smtps://me:s3cret@mx`,
    /smtp: must not hold a user or a password; give smtp-/,
  ],
  ['a server with a path', `${mail}smtp = smtps://mx/s3cret`, /smtp: may have only a port behind its host$/],
  [
    'a user without a password',
    `${mail}smtp = smtps://mx\nsmtp-user = me`,
    /smtp-user: needs smtp-password-file beside/,
  ],
  [
    'a password without a user',
    `${mail}smtp = smtps://mx\nsmtp-password-file = ${secretFile}`,
    /smtp-password-file: needs/,
  ],
];

for (const [what, text, message] of refused) {
  test(`loadConfig() refuses ${what}`, async () => {
    const said = await refusal(section(text));
    assert.match(said, message);
    assert.doesNotMatch(said, /s3cret|\n/);
  });
}

test('[notify] takes a webhook, for all events or for those that it names', async () => {
  assert.deepEqual(await notifyOf('url = https://a.example/hook?token=1'), {
    ...{ name: 'ops', kinds: every, type: 'webhook', url: 'https://a.example/hook?token=1' },
  });
  const text = `on = account-paused, expires-soon\non = renewal-failed\non = expires-soon
url = http://127.0.0.1:8080/\nhmac_key_file = ${secretFile}\nca-file = ${caFile}`;
  assert.deepEqual(await notifyOf(text), {
    ...{ name: 'ops', kinds: ['account-paused', 'expires-soon', 'renewal-failed'] },
    ...{ type: 'webhook', url: 'http://127.0.0.1:8080/', hmacKey: { file: secretFile }, caFile },
  });
});

test('[notify] takes mail to several, over a server with a login', async () => {
  const text = `${mail}mail = root@example.org\nsmtp = smtps://mx.example.org\nsmtp-user = me\nsmtp-password-file = ${secretFile}`;
  assert.deepEqual(await notifyOf(text), {
    ...{ name: 'ops', kinds: every, type: 'mail', to: ['ops@example.org', 'root@example.org'] },
    ...{ from: 'quarry@example.org', smtp: { host: 'mx.example.org', port: 465, tls: 'always' } },
    login: { user: 'me', password: { file: secretFile } },
  });
});

for (const [written, meant] of [
  ['smtp://mx.example.org', { host: 'mx.example.org', port: 25, tls: 'offered' }],
  ['smtp://mx.example.org:587', { host: 'mx.example.org', port: 587, tls: 'offered' }],
  ['smtp://192.0.2.25:80', { host: '192.0.2.25', port: 80, tls: 'offered' }],
  ['SMTPS://[2001:db8::25]', { host: '2001:db8::25', port: 465, tls: 'always' }],
  ['smtp://localhost', { host: 'localhost', port: 25, tls: 'never' }],
  ['smtp://[::1]:2525/', { host: '::1', port: 2525, tls: 'never' }],
] as const) {
  test(`[notify] reads smtp = ${written}`, async () => {
    const read = await notifyOf(`${mail}smtp = ${written}`);
    assert.deepEqual(read?.type === 'mail' && read.smtp, meant);
  });
}

test('[notify] looks for a command from the folder of its file on', async () => {
  await using dir = await tempDir();
  const [file, program] = [join(dir.path, 'main.ini'), join(dir.path, 'tell.sh')];
  await writeFile(file, section('command = tell.sh'));
  await writeFile(program, '#!/bin/sh\n');
  await chmod(program, 0o755);
  const { notify } = await loadConfig([file], {});
  assert.deepEqual(notify, [
    { name: 'ops', kinds: every, type: 'command', command: program, folder: dir.path },
  ]);
});

test('a webhook has the proxy of the environment, and mail has none', async () => {
  const env = { HTTPS_PROXY: 'http://proxy.example:3128' };
  const text = `${section('url = https://chat.example/')}[notify "post"]\n${mail}smtp = smtp://mx.example.org\n`;
  const { notify } = await loadText(text, env);
  const [webhook, post] = notify;
  assert.ok(webhook?.type === 'webhook' && post);
  assert.equal(webhook.proxy?.HTTPS_PROXY, 'http://proxy.example:3128/');
  assert.ok(!('proxy' in post));
});
