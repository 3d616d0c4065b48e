import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { needingRedis, runScript, toScript } from '../../shared/base/redis.ts';
import { runAll } from '../../shared/base/refusals.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { quietLog } from '../support/quiet-log.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

// What this Redis answers while it refuses to write, and what becomes of it.

const { url, redis } = await startOwnRedis();
const request = openRedis({ url }, 'impatient', quietLog);
const isReady = () => waitUntil('Redis to answer', () => request.ping().then(Boolean, () => false));
after(() => closeRedis(request));
const WRITE = toScript(`return redis.call('SET', KEYS[1], 'x')`);

/** How Redis comes to refuse, and how it is made well again. */
const ways: [code: string, begin: string[][], end: string[][]][] = [
  ['OOM', [['config', 'set', 'maxmemory', '1']], [['config', 'set', 'maxmemory', '0']]],
  [
    'NOREPLICAS',
    [['config', 'set', 'min-replicas-to-write', '1']],
    [['config', 'set', 'min-replicas-to-write', '0']],
  ],
  ['READONLY', [['replicaof', '127.0.0.1', '1']], [['replicaof', 'no', 'one']]],
];

/** What a request would be answered with. */
const toldOf = async (ask: () => Promise<unknown>): Promise<{ code?: string; message: string }> =>
  needingRedis(ask).then(
    () => assert.fail('Redis did not refuse'),
    error => error,
  );

const tellAll = async (commands: string[][]) => {
  for (const [name = '', ...words] of commands) await redis.call(name, ...words);
};

beforeEach(() => tellAll(ways.flatMap(([, , end]) => end)));

for (const [code, begin] of ways)
  test(`a command, a script and a transaction that are refused with ${code} are told in the same words`, async () => {
    await tellAll(begin);
    const asked = [
      () => request.set('key', 'x'),
      () => runScript(request, WRITE, ['key'], []),
      () => runAll(request, commands => commands.sadd('set', 'x').expire('set', 10)),
    ];
    for (const ask of asked) {
      await isReady(); // that of a node which was demoted is made anew
      const told = await toldOf(ask);
      assert.equal(told.code, 'unavailable');
      assert.match(told.message, new RegExp(`^Redis refuses to write: .*\\(${code}\\)$`));
    }
  });

test('a user whose rights are withdrawn is refused in the same words', async () => {
  await redis.call('acl', 'setuser', 'host', 'on', '>p', '~*', '&*', '+@all', '-set');
  await isReady();
  await request.call('auth', 'host', 'p');
  for (const ask of [() => request.set('key', 'x'), () => runScript(request, WRITE, ['key'], [])]) {
    const told = await toldOf(ask);
    assert.equal(told.message, 'Redis refuses to write: this user has not the right (NOPERM)');
  }
});

test('a command of an operator says that Redis refuses, and why', async () => {
  await tellAll([['config', 'set', 'maxmemory', '1']]);
  const ini = `[redis]\nurl = ${url}\n[account]\ndir = a\nacme-server = https://127.0.0.1:1/dir\n[auth a]\nall = yes\n`;
  const blocked = await callQuarryWith(ini, ['keys', 'block', 'f'.repeat(64), 'main.ini']);
  assert.equal(blocked.code, 1);
  assert.match(blocked.stderr, /^quarry: Redis refuses to write: its memory is full \(OOM\): [^\n]+\n$/);
});
