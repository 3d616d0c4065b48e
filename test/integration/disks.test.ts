import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readCsr } from '../../shared/pki/csr.ts';
import { generateKeyPem } from '../../shared/pki/private-key.ts';
import { hastenTask } from '../../shared/queue/schedule.ts';
import { makeCsr } from '../support/csr.ts';
import { releasePipe } from '../support/file-system.ts';
import { findCommand } from '../support/find-command.ts';
import { accountSecrets, startFleet } from '../support/fleet.ts';
import { startHookReceiver } from '../support/hook-receiver.ts';
import { lastStopMs, waitUntil } from '../support/wait-until.ts';

// One process on disks as they are run: its account directory is a secret of Kubernetes, one of its storages
// has room for little, its file system may be without hard links, and others come to hang.

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const hooks = parts.use(await startHookReceiver());
const fleet = parts.use(await startFleet({ roles: [] }));
const at = (name: string) => join(fleet.dir, name);

/** As a kubelet lays a secret out: files are links into a folder that is exchanged as a whole. */
async function laySecretOut(dir: string, files: Record<string, string>): Promise<void> {
  await mkdir(join(dir, '..2026_11_27'), { recursive: true });
  await symlink('..2026_11_27', join(dir, '..data'));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(dir, '..2026_11_27', name), text, { mode: 0o400 });
    await symlink(`..data/${name}`, join(dir, name));
  }
}

/** A library in which link(2) says what SMB says; '' where there is no compiler. */
async function withoutLinks(): Promise<string> {
  const compiler = findCommand('cc');
  if (!compiler) return '';
  const source = `#include <errno.h>
int link(const char *from, const char *to) { errno = EOPNOTSUPP; return -1; }
`;
  await writeFile(at('no-links.c'), source);
  execFileSync(compiler, ['-shared', '-fPIC', '-o', at('no-links.so'), at('no-links.c')]);
  return at('no-links.so');
}

const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const unshare = ['unshare', '--mount', ...asRoot] as const;
const mayMount = spawnSync(unshare[0], [...unshare.slice(1), 'true']).status === 0;

await laySecretOut(at('secret'), { 'account.pem': await generateKeyPem('P-256') });
for (const secret of accountSecrets(join(at('secret'), 'account.pem'))) fleet.secrets.add(secret);
for (const name of ['full', 'slow', 'other', 'well']) await mkdir(at(name));
const mounts = `mount -t tmpfs -o size=96k none ${at('full')}
mount --bind ${at('secret')} ${at('secret')}
mount -o remount,bind,ro ${at('secret')}
[ -z "$0" ] || export LD_PRELOAD="$0"
exec "$@"`;
const storages = ['full', 'slow', 'other', 'well'].map(
  name => `[storage "${name}"]
type = file
directory = ${at(name)}
[auth "${name}"]
all = yes
domain = *.${name}.example
storage = ${name}`,
);
const up = mayMount
  ? await fleet.start('up', {
      through: [...unshare, 'sh', '-ec', mounts, await withoutLinks()],
      account: `accept-terms-of-service = yes\ndir = ${at('secret')}`,
      mgmt: `secret-file = ${join(at('secret'), 'installation.key')}`,
      blocks: `${storages.join('\n')}
[notify "ops"]
on = storage-failed
url = ${hooks.url}/
[trail]
dir = ${at('trail')}
key-file = ${at('trail.key')}
`,
    })
  : undefined;
const skip = up ? false : 'no mounts of its own are to be had here';

/** What the process sees at a path. */
const seen = (path: string) => `/proc/${up?.pid}/root${path}`;
const readyz = async () => {
  const answer = await fetch(`${up?.adminUrl}/readyz`);
  return { status: answer.status, text: await answer.text() };
};
const orders = () => fleet.ca.requests().filter(({ kind }) => kind === 'newOrder').length;

async function post(csrPem: string) {
  const before = orders();
  const answer = await fleet.post(csrPem);
  return { ...answer, orders: orders() - before };
}

const known = await csrFor('well');

async function csrFor(storage: string, host = 'www') {
  const { csrPem } = await makeCsr({ names: [`${host}.${storage}.example`] });
  const { digest } = readCsr(Buffer.from(csrPem));
  return { csrPem, file: join(at(storage), digest.slice(0, 2), digest.slice(2), 'cert.pem') };
}

test('an account directory that is only read is used as it is, with the secret that its key gives', {
  skip,
}, async () => {
  const { status, body } = await post(known.csrPem);
  assert.equal(status, 200, body);
  const said = up?.log().map(({ msg }) => msg);
  assert.ok(said?.includes('no secret can be made here: the account key beside it gives one'));
  // In a file system without hard links, where there is a compiler to make one.
  assert.ok(existsSync(at('trail.key')));
  assert.ok(said?.some(msg => /^the registration cannot be written: /.test(`${msg}`)));
});

test('what cannot be read is 503 and no new order, until it can be', { skip }, async () => {
  const { csrPem, file } = await csrFor('well', 'unread');
  assert.equal((await post(csrPem)).orders, 1);
  await rm(file);
  await mkdir(file);
  for (let time = 0; time < 2; time++) {
    const { status, body, headers, orders } = await post(csrPem);
    assert.deepEqual([status, body, orders], [503, 'what is stored cannot be read\n', 0]);
    assert.ok(headers['retry-after']);
  }
  assert.match(
    (await readyz()).text,
    /^ready\n(.*\n)*storage "well" cannot be read: directory \/.*\/well: EISDIR/,
  );
  await rmdir(file);
  assert.deepEqual([(await post(csrPem)).status, (await post(csrPem)).orders], [200, 0]);
  assert.doesNotMatch((await readyz()).text, /storage "well"/);
});

test('what does not fit into a full storage is ordered once, told once, and stored when there is room', {
  skip,
}, async () => {
  const filler = seen(join(at('full'), 'filler'));
  await writeFile(filler, Buffer.alloc(200_000)).catch(error => assert.equal(error.code, 'ENOSPC'));
  const { csrPem, file } = await csrFor('full');
  const first = await post(csrPem);
  assert.deepEqual([first.status, first.orders], [200, 1], first.body);
  for (let time = 0; time < 2; time++) {
    const again = await post(csrPem);
    assert.deepEqual([again.status, again.orders, again.body], [200, 0, first.body]);
  }
  assert.equal((await post((await csrFor('full', 'another')).csrPem)).orders, 1);
  await waitUntil('the message', async () => hooks.posts.length > 0);
  const { status, text } = await readyz();
  assert.equal(status, 200, text);
  assert.match(text, /storage "full" cannot be written: directory \/.*\/full: ENOSPC/);
  const metrics = await (await fetch(`${up?.adminUrl}/metrics`)).text();
  assert.match(metrics, /^quarry_storage_failures_total\{storage="full",act="write"\} [1-9]/m);

  await rm(filler);
  await hastenTask({ redis: fleet.redisClient, prefix: '{quarry}' }, 'expire/full', Date.now());
  const isStored = async () => spawnSync('test', ['-e', seen(file)]).status === 0;
  await waitUntil('the certificate to be stored', isStored);
  await waitUntil('the note to go', async () => !(await readyz()).text.includes('"full"'));
  const stored = await post(csrPem);
  assert.deepEqual([stored.orders, stored.body], [0, first.body]);
  assert.equal(hooks.posts.length, 1);
});

test('storages that hang are 503 after a while, and hold up nothing else, not even the end', {
  skip,
}, async () => {
  const hanging = await Promise.all(
    ['slow', 'other'].flatMap(storage => ['a', 'b', 'c', 'd'].map(host => csrFor(storage, host))),
  );
  for (const { file } of hanging) await mkdir(dirname(file), { recursive: true });
  execFileSync(
    'mkfifo',
    hanging.map(({ file }) => file),
  );
  const waiting = Promise.all(hanging.map(({ csrPem }) => post(csrPem)));
  const first = await Promise.race([post(known.csrPem), waiting]);
  assert.ok(!Array.isArray(first) && first.status === 200, 'what is stored elsewhere does not wait for them');
  assert.equal((await post((await csrFor('well', 'meanwhile')).csrPem)).status, 200);
  for (const { status, body } of await waiting)
    assert.deepEqual([status, body], [503, 'what is stored cannot be read\n']);
  assert.equal((await post((await csrFor('well', 'later')).csrPem)).status, 200);
  assert.match((await readyz()).text, /^ready\n/);

  // Those of one go on, and the others' never.
  await waitUntil('one to answer', async () => {
    for (const { file } of hanging.slice(0, 4)) await releasePipe(file);
    return (await post((await csrFor('slow', 'again')).csrPem)).status === 200;
  });
  process.kill(up?.pid ?? 0, 'SIGTERM');
  const ended = up?.exited.then(() => 'ended');
  assert.equal(await Promise.race([ended, delay(lastStopMs / 2, 'still runs', { ref: false })]), 'ended');
});
