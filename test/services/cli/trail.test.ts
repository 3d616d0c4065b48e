import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { trailCommand } from '../../../services/cli/trail.ts';
import { drainTrail } from '../../../shared/trail/drain.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { openTrailFiles } from '../../../shared/trail/files.ts';
import { openSigningKey } from '../../../shared/trail/signing-key.ts';
import { openTrail } from '../../../shared/trail/trail.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { auth } from '../../shared/setup/load-text.ts';
import { provision } from '../../support/provision.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { turnedClock } from '../../support/turned-clock.ts';

const { url, redis } = await startOwnRedis();
const store = { redis, prefix: '{quarry}' };
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const directory = join(dir.path, 'trail');
const [sealing, unsealing] = [join(dir.path, 'main.ini'), join(dir.path, 'bare.ini')];
const account = `[account]\ndir = ${dir.path}/account\n`;
await writeFile(sealing, `${account}${auth}[trail]\ndir = ${directory}\n`);
await writeFile(unsealing, `${account}${auth}`);
const keyFile = join(dir.path, 'account/trail.key');

async function trail(...words: string[]): Promise<string> {
  const written: string[] = [];
  await trailCommand.run(words, { env: { REDIS_URL: url }, write: text => void written.push(text) });
  return written.join('');
}

async function seal(): Promise<void> {
  const parts = { directory, key: await openSigningKey(keyFile), keep: 400, store, log: quietLog };
  await using files = await openTrailFiles({ ...parts, clock: turnedClock(Date.now()) });
  await drainTrail(store, { consumers: [files], keep: 0 }, new AbortController().signal);
}

const at = Date.parse('2026-11-27T10:00:00Z');
const events: TrailEvent[] = [
  { at, event: 'admitted', names: ['www.example.org'], block: 'web', client: '192.0.2.1' },
  { at: at + 60_000, event: 'issued', names: ['mail.example.org'], serial: '0a', account: 'default' },
  { at: at + 120_000, event: 'refused', client: '192.0.2.9', count: 3, detail: 'a\u001b[31m\nred name' },
];

test('a trail that is nowhere sealed is shown from Redis', async () => {
  for (const event of events) await openTrail(store).write(event);
  assert.equal(
    await trail('show', unsealing),
    [
      '2026-11-27T10:00:00.000Z  admitted    www.example.org  block=web  client=192.0.2.1',
      '2026-11-27T10:01:00.000Z  issued      mail.example.org  account=default  serial=0a',
      '2026-11-27T10:02:00.000Z  refused       client=192.0.2.9  count=3  detail=a\ufffd[31m\ufffdred name\n',
    ].join('\n'),
  );
  await assert.rejects(trail('verify', unsealing), /no \[trail\] dir is configured/);
});

test('sealed and unsealed events are shown as one, by names and times', async () => {
  await seal();
  await openTrail(store).write({
    at: at + 180_000,
    event: 'operator',
    detail: 'keys block x',
    by: 'operator x',
  });
  assert.match(await trail('show', sealing), /^.*admitted.*\n.*issued.*\n.*refused.*\n.*operator.*\n$/);
  assert.match(
    await trail('show', '--name', '*.example.org', '--since', '2026-11-27T10:00:30Z', sealing),
    /^.*issued.*\n$/,
  );
  assert.match(await trail('show', '--until', '2026-11-27T10:00:30Z', sealing), /^.*admitted.*\n$/);
  const lines = (await trail('export', '--name', 'www.example.org', directory)).trim().split('\n');
  assert.deepEqual(
    lines.map(line => JSON.parse(line).n),
    [2],
  );
});

test('verify says until when all is proven, by which key, and whether Redis was asked', async () => {
  const { publicKey } = await openSigningKey(keyFile);
  const proof = new RegExp(
    `^ok     4 lines in 1 files are as they were sealed until \\S+Z\n       by key ${publicKey.fingerprint}, from `,
  );
  const here = await trail('verify', sealing);
  assert.match(here, proof);
  assert.doesNotMatch(here, /Redis was not asked/);
  const copied = await trail('verify', directory);
  assert.match(copied, proof);
  assert.match(copied, /trail\.pub: compare it with what quarry trail key says\n {7}Redis was not asked/);
  assert.equal(await trail('key', sealing), publicKey.pem);
  assert.equal(await readFile(join(directory, 'trail.pub'), 'utf8'), publicKey.pem);
});

test('verify fails for a trail of another key, and for one that was changed, with file and line', async () => {
  const other = join(dir.path, 'other.key');
  const { publicKey } = await openSigningKey(other);
  await writeFile(join(dir.path, 'other.pub'), publicKey.pem);
  await assert.rejects(
    trail('verify', '--key', join(dir.path, 'other.pub'), directory),
    /is not what was sealed/,
  );
  await assert.rejects(trail('verify', '--key', sealing, directory), /main\.ini is no Ed25519 public key/);
  const [name = ''] = (await readDays()).slice(-1);
  const file = join(directory, name);
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('"0a"', '"0b"'));
  const written: string[] = [];
  const io = { env: { REDIS_URL: url }, write: (text: string) => void written.push(text) };
  await assert.rejects(
    trailCommand.run(['verify', sealing], io),
    /4 lines in 1 files: the trail is not what was sealed/,
  );
  assert.equal(written.join(''), `FAULT  ${name}:3: was changed, or the line after it was\n`);
  await writeFile(file, text);
});

test('sha256sum and openssl say the same, as the page tells it', async () => {
  const { openssl } = await provision(['openssl']);
  const [name = ''] = (await readDays()).slice(-1);
  const lines = (await readFile(join(directory, name), 'utf8')).trim().split('\n');
  for (const [index, line] of lines.slice(1).entries())
    assert.equal(JSON.parse(line).prev, hash('sha256', lines[index] ?? ''));
  const { signed, signature } = JSON.parse(lines[0] ?? '');
  await writeFile(join(dir.path, 'signed'), signed);
  await writeFile(join(dir.path, 'signature'), Buffer.from(signature, 'base64'));
  const options = ['-rawin', '-in', 'signed', '-sigfile', 'signature', '-inkey', 'trail/trail.pub'];
  const said = execFileSync(openssl, ['pkeyutl', '-verify', '-pubin', ...options], {
    cwd: dir.path,
    encoding: 'utf8',
  });
  assert.match(said, /Signature Verified Successfully/);
  await writeFile(join(dir.path, 'signed'), `${signed}.`);
  assert.throws(() =>
    execFileSync(openssl, ['pkeyutl', '-verify', '-pubin', ...options], { cwd: dir.path, stdio: 'pipe' }),
  );
});

test('restart lets a new directory begin, and is in the trail', async () => {
  assert.equal(await trail('restart', sealing), 'the schedulers seal into their [trail] dir from now on\n');
  assert.equal(await redis.get('{quarry}:trail-head'), null);
  assert.match(await trail('show', sealing), /operator .*detail=trail restart/);
});

test('words that make no sense are refused', async () => {
  await assert.rejects(trail('sew', sealing), /trail needs one of verify, show, export, key, restart/);
  await assert.rejects(trail('verify', '--name', 'x', sealing), /trail verify takes no --name/);
  await assert.rejects(trail('show', '--since', 'soon', sealing), /neither a date nor a time/);
  await assert.rejects(trail('show'), /trail show needs a configuration file/);
});

async function readDays(): Promise<string[]> {
  const { readdir } = await import('node:fs/promises');
  return (await readdir(directory)).filter(name => /^\d.*\.jsonl$/.test(name)).sort();
}
