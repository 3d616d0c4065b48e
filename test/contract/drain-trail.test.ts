import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTrailDrain, readTrailNotes } from '../../services/scheduler/drain-trail.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import type { TrailConsumer } from '../../shared/trail/drain.ts';
import { openTrail, trailKey } from '../../shared/trail/trail.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();
const never = new AbortController().signal;
const event = { at: Date.now(), event: 'issued' as const, names: ['a.example'] };

async function ground(dir: string | undefined, consumers: TrailConsumer[] = []) {
  const [store, clock] = [newStore(), turnedClock(Date.now())];
  const told: NotifyEvent[] = [];
  const over: string[] = [];
  const notices = {
    notify: async (one: NotifyEvent) => void told.push(one),
    ended: async (subject: string) => void over.push(subject),
    [Symbol.asyncDispose]: async () => {},
  };
  const folder = await tempDir();
  const directory = dir === undefined ? undefined : join(folder.path, dir);
  const trail = { keep: 400, ...(directory !== undefined && { dir: directory }) };
  const hasSyslog = consumers.some(({ name }) => name === 'syslog');
  const syslog = { kind: 'unix', path: '/nowhere' } as const; // as if it were configured
  const notes = () => readTrailNotes({ ...trail, ...(hasSyslog && { syslog }) }, store, clock);
  const keyFile = join(folder.path, 'trail.key');
  const drain = openTrailDrain({
    trail: { current: trail },
    keyFile,
    consumers,
    store,
    notices,
    clock,
    log: quietLog,
  });
  const write = () => openTrail(store).write(event);
  return {
    ...{ store, clock, told, over, directory, write, drain: () => drain(never), notes },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test('what cannot be sealed waits in Redis, operators hear of it after a minute, and once it is sealed it is over', async () => {
  await using on = await ground('trail');
  const directory = on.directory ?? '';
  await writeFile(directory, 'a file is where the directory belongs');
  await on.write();
  await on.drain();
  assert.deepEqual([on.told, await on.notes()], [[], []]);
  on.clock.turn(61_000);
  await on.drain();
  assert.deepEqual(
    on.told.map(({ kind, subject }) => [kind, subject]),
    [['trail-unsealed', 'trail']],
  );
  const why = /^events since \S+Z wait in Redis, as .*: \[trail\] dir: .* file already exists$/;
  assert.match(on.told[0]?.detail ?? '', why);
  assert.match((await on.notes()).join(), /^1 events of the trail are not sealed, since /);
  assert.equal(await redis.xlen(trailKey(on.store.prefix)), 1);

  await rm(directory);
  on.over.length = 0;
  await on.drain();
  const day = `${new Date().toISOString().slice(0, 10)}.jsonl`;
  assert.match(await readFile(join(directory, day), 'utf8'), /"event":"issued"/);
  assert.deepEqual([on.over, await on.notes()], [['trail'], []]);
});

test('operators hear of what waits in a stream whose last entries were written by a clock that was ahead', async () => {
  await using on = await ground('trail');
  await writeFile(on.directory ?? '', 'a file is where the directory belongs');
  const ahead = Date.now() + 400 * 24 * 3_600_000;
  await redis.xadd(trailKey(on.store.prefix), `${ahead}-0`, 'event', JSON.stringify(event));
  await on.drain();
  assert.deepEqual([on.told, await on.notes()], [[], []]);
  on.clock.turn(61_000);
  await on.drain();
  assert.equal(on.told.length, 1);
  assert.match((await on.notes()).join(), /^1 events of the trail are not sealed, since /);
});

test('other consumers get what cannot be sealed, and have it once', async () => {
  const taken: string[] = [];
  const take: TrailConsumer['take'] = async entries => void taken.push(...entries.map(({ id }) => id));
  await using on = await ground('trail', [{ name: 'inventory', take }]);
  await writeFile(on.directory ?? '', '');
  await on.write();
  await on.drain();
  await on.drain();
  assert.equal(taken.length, 1);
});

test('operators hear of what waits for syslog too, which Redis keeps for it however full it gets', async () => {
  const fault: { value?: Error } = { value: new Error('connect ECONNREFUSED') };
  const take = async () => {
    if (fault.value) throw fault.value;
  };
  for (const dir of ['trail', undefined]) {
    fault.value = new Error('connect ECONNREFUSED');
    await using on = await ground(dir, [{ name: 'syslog', take }]);
    await on.write();
    await on.drain();
    assert.equal(on.told.length, 0);
    on.clock.turn(61_000);
    await on.drain();
    assert.deepEqual(
      on.told.map(({ kind, subject }) => [kind, subject]),
      [['trail-unsealed', 'trail/syslog']],
    );
    assert.match(
      on.told[0]?.detail ?? '',
      /^events since \S+Z wait in Redis for syslog: connect ECONNREFUSED$/,
    );
    assert.match((await on.notes()).join(), /^events of the trail wait for syslog since \S+Z; /);
    delete fault.value;
    on.over.length = 0;
    await on.drain();
    assert.ok(on.over.includes('trail/syslog'));
    assert.deepEqual(await on.notes(), []);
    on.over.length = 0;
    await on.drain();
    assert.deepEqual(on.over, []);
  }
});

test('without a directory nothing is sealed, and nothing is told', async () => {
  await using on = await ground(undefined);
  await on.write();
  on.clock.turn(61_000);
  await on.drain();
  assert.deepEqual([on.told, on.over], [[], []]);
  assert.equal(await redis.xlen(trailKey(on.store.prefix)), 1);
});
