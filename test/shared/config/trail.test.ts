import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const trailOf = async (text: string) => (await loadText(`${account}${auth}[trail]\n${text}`)).trail;

test('without a [trail] section nothing is sealed and nothing is sent', async () => {
  assert.deepEqual((await loadText(`${account}${auth}`)).trail, { keep: 400 });
});

test('[trail] says where, for how long, by which key, and where messages go', async () => {
  const text = 'dir = /srv/trail\nkeep = 30\nkey-file = /etc/trail.key\nsyslog = udp://192.0.2.1\n';
  assert.deepEqual(await trailOf(text), {
    ...{ dir: '/srv/trail', keep: 30, keyFile: '/etc/trail.key' },
    syslog: { kind: 'udp', host: '192.0.2.1', port: 514 },
  });
});

for (const [text, target] of [
  ['udp://log.example:1514', { kind: 'udp', host: 'log.example', port: 1514 }],
  ['tcp://[2001:db8::1]', { kind: 'tcp', host: '2001:db8::1', port: 601 }],
  ['tcp://log.example:80', { kind: 'tcp', host: 'log.example', port: 80 }],
  ['tls://log.example', { kind: 'tls', host: 'log.example', port: 6514 }],
  ['unix:/dev/log', { kind: 'unix', path: '/dev/log' }],
] as const) {
  test(`[trail] syslog = ${text}`, async () => {
    assert.deepEqual((await trailOf(`syslog = ${text}\n`)).syslog, target);
  });
}

for (const text of [
  '',
  'local',
  'http://log.example',
  'udp://',
  'udp://a b',
  'tls://user:s3cret@log.example',
  'udp://h/x',
  'unix:log',
]) {
  test(`[trail] syslog = ${JSON.stringify(text)} is refused, and not repeated`, async () => {
    const said = await refusal(`${account}${auth}[trail]\nsyslog = ${text}\n`);
    assert.match(said, /^main\.ini:7: \[trail\] syslog: is none of udp:\/\/host, /);
    assert.doesNotMatch(said, /s3cret/);
  });
}

const { caFile } = await tlsAuthority();

for (const [text, said] of [
  ['keep = 30', 'keep: needs dir beside it'],
  ['dir = x\nkeep = 0', 'keep: is not a whole number from 1 to 36500'],
  ['key-file = x', 'key-file: needs dir beside it'],
  [
    `dir = x\nsyslog = udp://h\nsyslog-ca-file = ${caFile}`,
    'syslog-ca-file: needs syslog = tls://… beside it',
  ],
  ['dirr = x', 'dirr: unknown option'],
] as const) {
  test(`[trail] ${text.replaceAll('\n', ', ')} is refused`, async () => {
    assert.ok((await refusal(`${account}${auth}[trail]\n${text}\n`)).includes(`[trail] ${said}`));
  });
}
