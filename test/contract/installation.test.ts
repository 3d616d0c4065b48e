import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { requireSameSecret } from '../../shared/base/installation.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { freePort } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { quietLog } from '../support/quiet-log.ts';
import { runQuarry, toldLines } from '../support/run-quarry.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startOwnRedis } from './own-redis.ts';

const { url, redis, newStore } = await startOwnRedis();
const never = new AbortController().signal;
const known = (secret: string) => ({ secret: Buffer.from(secret), file: '/srv/installation.key' });

test('all who share a Redis have to share the secret; its fingerprint tells nothing of it', async () => {
  const store = newStore();
  await requireSameSecret(store, known('one'), systemClock, never);
  await requireSameSecret(store, known('one'), systemClock, never);
  await assert.rejects(requireSameSecret(store, known('other'), systemClock, never), {
    message:
      '/srv/installation.key is not the secret of the installation that uses this Redis: copy the file of its ' +
      `other roles here, or, where that is lost, stop them all and delete ${store.prefix}:installation in Redis`,
  });
  assert.match(`${await redis.get(`${store.prefix}:installation`)}`, /^[0-9a-f]{32}$/);
  await redis.del(`${store.prefix}:installation`);
  await requireSameSecret(store, known('other'), systemClock, never);
});

test('who starts while Redis is away asks until it answers, or until it stops', async () => {
  const away = openRedis({ url: `redis://127.0.0.1:${await freePort()}` }, 'impatient', quietLog);
  const stop = new AbortController();
  const asked = requireSameSecret({ redis: away, prefix: '{x}' }, known('one'), systemClock, stop.signal);
  stop.abort(new Error('it stops'));
  await assert.rejects(asked, /^Error: it stops$/);
  closeRedis(away);
});

test('who starts while Redis has no memory left, and takes no writes, still learns whether it has the secret', async () => {
  const store = newStore();
  await requireSameSecret(store, known('one'), systemClock, never);
  await redis.config('SET', 'maxmemory', '1');
  try {
    const signal = AbortSignal.timeout(10_000);
    await requireSameSecret(store, known('one'), systemClock, signal);
    await assert.rejects(requireSameSecret(store, known('other'), systemClock, signal), /is not the secret/);
  } finally {
    await redis.config('SET', 'maxmemory', '0');
  }
});

test('a role with another secret than the others ends at its start, with one line', async () => {
  await using dir = await tempDir();
  const prefix = '{installation}';
  const ini = async (role: string, secret: string) => {
    const file = join(dir.path, `${role}.key`);
    await writeFile(file, secret, { mode: 0o600 });
    return `[account]
acme-server = http://127.0.0.1:9/dir
dir = ${dir.path}
[mgmt]
listener = 127.0.0.1:${await freePort()}
secret-file = ${file}
[redis]
url = ${url}
prefix = ${prefix}
[auth "all"]
all = yes
domain = *
`;
  };
  await using _ = await startQuarry('scheduler', await ini('first', 'x'.repeat(32)));
  for (const role of ['intake', 'worker', 'scheduler']) {
    const own = await ini(role, 'y'.repeat(32));
    const ended = await runQuarry([role, 'main.ini'], own);
    assert.equal(ended.code, 1, ended.stderr);
    assert.deepEqual(toldLines(ended).length, 1, ended.stderr);
    assert.match(`${toldLines(ended)}`, /^quarry: \S+\.key is not the secret of the installation/);
  }
  const short = await runQuarry(['intake', 'main.ini'], await ini('short', 'x'));
  assert.deepEqual([short.code, toldLines(short).length], [1, 1]);
  assert.match(`${toldLines(short)}`, /has 1 characters: at least 32 are needed/);
});
