import assert from 'node:assert/strict';
import { appendFile, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Store } from '../../shared/base/redis.ts';
import { drainTrail } from '../../shared/trail/drain.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { openTrailFiles, readHead } from '../../shared/trail/files.ts';
import { openSigningKey } from '../../shared/trail/signing-key.ts';
import { openTrail, trailKey } from '../../shared/trail/trail.ts';
import { verifyTrail } from '../../shared/trail/verify.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();
const keys = await tempDir();
after(() => keys[Symbol.asyncDispose]());
const key = await openSigningKey(join(keys.path, 'trail.key'));
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const start = Date.parse('2026-11-27T10:00:00Z');
const never = new AbortController().signal;

/** Events as they come to be in Redis at these times. */
async function happen(store: Store, times: readonly number[]): Promise<void> {
  for (const [at, time] of times.entries()) {
    const event: TrailEvent = { at: time, event: 'issued', names: [`n${at}.example`], job: `${time}` };
    await redis.xadd(trailKey(store.prefix), `${time}-*`, 'event', JSON.stringify(event));
  }
}

type Ground = AsyncDisposable & { directory: string; store: Store; clock: ReturnType<typeof turnedClock> };

async function ground(): Promise<Ground> {
  const dir = await tempDir();
  const directory = join(dir.path, 'trail');
  return {
    ...{ directory, store: newStore(), clock: turnedClock(start) },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** What a scheduler does each few seconds. */
async function seal({ directory, store, clock }: Ground, keep = 400): Promise<void> {
  await using files = await openTrailFiles({ directory, key, keep, store, clock, log: quietLog });
  const { failed } = await drainTrail(store, { consumers: [files], keep: 0 }, never);
  for (const error of failed.values()) throw error;
  await files.upkeep();
}

async function verify({ directory, store }: Ground, withRedis = true) {
  const known = withRedis ? await readHead(store, key.publicKey) : undefined;
  return verifyTrail(directory, key.publicKey, known);
}

const faultsOf = async (on: Ground, withRedis = true) =>
  (await verify(on, withRedis)).faults.map(({ file, line, what }) => `${file}:${line}: ${what}`);

async function linesOf({ directory }: Ground): Promise<{ file: string; text: string }[]> {
  const files = (await readdir(directory)).filter(name => /^\d.*\.jsonl$/.test(name)).sort();
  const texts = await Promise.all(files.map(file => readFile(join(directory, file), 'utf8')));
  return files.flatMap((file, at) =>
    (texts[at] ?? '')
      .split('\n')
      .slice(0, -1)
      .map(text => ({ file, text })),
  );
}

const jobsIn = (lines: { text: string }[]) => lines.flatMap(({ text }) => JSON.parse(text).job ?? []);

test('events of one moment, which share entries, are sealed each once and in their order', async () => {
  await using on = await ground();
  const trail = openTrail(on.store);
  const jobs = Array.from({ length: 100 }, (_, number) => `job ${number}`);
  for (let part = 0; part < 100; part += 50) {
    const together = jobs.slice(part, part + 50);
    await Promise.all(together.map(job => trail.write({ at: start, event: 'handed-out', job })));
    await seal(on);
  }
  const lines = await linesOf(on);
  assert.deepEqual(jobsIn(lines), jobs);
  const ids = lines.flatMap(({ text }) => JSON.parse(text).id ?? []);
  assert.equal(new Set(ids).size, jobs.length, 'each event has an id of its own');
  assert.deepEqual(await faultsOf(on), []);
});

/** Three days, of which the second is rich. */
async function threeDays(): Promise<Ground> {
  const on = await ground();
  await happen(on.store, [start, start + 1, start + HOUR, start + DAY, start + DAY + 1]);
  await seal(on);
  await happen(on.store, [start + DAY + 2, start + DAY + 2 * HOUR, start + 2 * DAY, start + 2 * DAY + 5]);
  await seal(on);
  assert.deepEqual(await faultsOf(on), []);
  return on;
}

test('each event is sealed once, in a file of its day, signed for at its hour and at the ends of files', async () => {
  await using on = await threeDays();
  const lines = await linesOf(on);
  const shape = lines.map(({ file, text }) => {
    const { mark, event } = JSON.parse(text);
    return `${file.slice(8, 10)} ${mark ?? event}`;
  });
  assert.deepEqual(shape, [
    ...['27 start', '27 issued', '27 issued', '27 hour', '27 issued', '27 end'],
    ...['28 start', '28 issued', '28 issued', '28 issued', '28 hour', '28 issued', '28 end'],
    ...['29 start', '29 issued', '29 issued'],
  ]);
  assert.equal(new Set(jobsIn(lines)).size, 9);
  assert.equal(await redis.xlen(trailKey(on.store.prefix)), 1, 'the last one stays, to show a gap');
  const { proven, lines: count, notes } = await verify(on);
  assert.deepEqual([proven, count, notes], [new Date(on.clock.now()).toISOString(), lines.length, []]);
});

test('an hour that is over is signed for though nothing happens any more', async () => {
  await using on = await ground();
  await happen(on.store, [start]);
  await seal(on);
  assert.equal((await linesOf(on)).length, 2);
  on.clock.turn(HOUR);
  await seal(on);
  await seal(on);
  assert.equal(JSON.parse((await linesOf(on))[2]?.text ?? '').mark, 'hour');
  assert.equal((await linesOf(on)).length, 3);
});

test('one changed byte of any line is found, and where it is', async () => {
  await using on = await threeDays();
  const lines = await linesOf(on);
  for (const [at, { file, text }] of lines.entries()) {
    const path = join(on.directory, file);
    const before = await readFile(path, 'utf8');
    const place = text.length - 5;
    const changed = `${text.slice(0, place)}${text[place] === 'A' ? 'B' : 'A'}${text.slice(place + 1)}`;
    await writeFile(path, before.replace(text, changed));
    const line = lines.slice(0, at + 1).filter(one => one.file === file).length;
    const faults = await faultsOf(on, false);
    assert.ok(
      faults.some(fault => fault.startsWith(`${file}:${line}: `)),
      `line ${at + 1}: ${faults}`,
    );
    await writeFile(path, before);
  }
  assert.deepEqual(await faultsOf(on), []);
});

test('one removed line is found, each of them, and so is a pair that changed places', async () => {
  await using on = await threeDays();
  const lines = await linesOf(on);
  for (const [at, { file, text }] of lines.entries()) {
    const path = join(on.directory, file);
    const before = await readFile(path, 'utf8');
    await writeFile(path, before.replace(`${text}\n`, ''));
    assert.notDeepEqual(await faultsOf(on, false), [], `line ${at + 1} was removed`);
    const next = lines[at + 1];
    if (next?.file === file) {
      await writeFile(path, before.replace(`${text}\n${next.text}\n`, `${next.text}\n${text}\n`));
      assert.notDeepEqual(await faultsOf(on, false), [], `line ${at + 1} changed places`);
    }
    await writeFile(path, before);
  }
});

test('files that are missing or have changed names are found', async () => {
  await using on = await threeDays();
  const [one, two, three] = ['27', '28', '29'].map(day => join(on.directory, `2026-11-${day}.jsonl`));
  assert.ok(one && two && three);
  for (const file of [one, two, three]) {
    await rename(file, `${file}.away`);
    assert.notDeepEqual(await faultsOf(on, false), [], `${file} is missing`);
    await rename(`${file}.away`, file);
  }
  await rename(one, `${one}.away`);
  await rename(two, one);
  await rename(`${one}.away`, two);
  assert.notDeepEqual(await faultsOf(on, false), [], 'names were exchanged');
});

test('an end that is cut at any line is found by head.json, and with head.json by what Redis knows', async () => {
  await using on = await threeDays();
  const last = join(on.directory, '2026-11-29.jsonl');
  const whole = await readFile(last, 'utf8');
  const head = await readFile(join(on.directory, 'head.json'), 'utf8');
  await truncate(last, whole.lastIndexOf('\n', whole.length - 2) + 1);
  assert.match((await faultsOf(on, false)).join(), /^:0: the end is cut: line 16 was sealed at /);
  await rm(join(on.directory, 'head.json'));
  assert.match((await faultsOf(on, false)).join(), /head\.json, which says where the trail ends, is missing/);
  // A whole trail of an earlier time, with the head of then.
  await writeFile(last, whole);
  await writeFile(join(on.directory, 'head.json'), head);
  const earlier = new Map<string, Buffer>();
  for (const file of await readdir(on.directory)) earlier.set(file, await readFile(join(on.directory, file)));
  await happen(on.store, [start + 2 * DAY + 9]);
  await seal(on);
  for (const [file, bytes] of earlier) await writeFile(join(on.directory, file), bytes);
  assert.deepEqual(await faultsOf(on, false), [], 'without Redis all is proven up to that time');
  assert.match((await faultsOf(on)).join(), /the end is cut: line 17 was sealed, as Redis knows/);
});

test('a chain that was made anew from a changed line on does not have the signatures', async () => {
  await using on = await threeDays();
  const { hash } = await import('node:crypto');
  const [first = { file: '', text: '' }, ...others] = await linesOf(on);
  const forged = [first];
  for (const { file, text } of others) {
    const prev = hash('sha256', forged.at(-1)?.text ?? '');
    forged.push({
      file,
      text: text.replace(/"prev":"[^"]*"/, `"prev":"${prev}"`).replace('n1.example', 'x.example'),
    });
  }
  for (const file of new Set(forged.map(one => one.file))) {
    const own = forged.filter(one => one.file === file).map(({ text }) => `${text}\n`);
    await writeFile(join(on.directory, file), own.join(''));
  }
  const faults = await faultsOf(on, false);
  assert.equal(faults.filter(fault => /signature/.test(fault)).length, 6);
  assert.match(faults.join(), /is not the line that the trail ends with/);
});

test('what a killed sealer left is cut off and kept beside, and its events are sealed once', async () => {
  await using on = await ground();
  await happen(on.store, [start, start + 1]);
  await seal(on);
  const file = join(on.directory, '2026-11-27.jsonl');
  await happen(on.store, [start + 2, start + 3]);
  await appendFile(file, '{"n":4,"prev":"a whole line that no head says"}\n{"n":5,"pre');
  assert.match(
    (await verify(on)).notes.map(({ what }) => what).join(),
    /ends within the line.*1 lines after line 3 are not/,
  );
  await seal(on);
  const { faults, notes } = await verify(on);
  assert.deepEqual(faults, []);
  assert.equal(notes.length, 1);
  assert.match(
    notes[0]?.what ?? '',
    /^mended at \S+: 59 bytes after line 3 were not sealed: cut off into cut-4-2026-11-27\.jsonl$/,
  );
  assert.deepEqual(
    jobsIn(await linesOf(on)),
    [0, 1, 2, 3].map(at => `${start + at}`),
  );
  assert.match(await readFile(join(on.directory, 'cut-4-2026-11-27.jsonl'), 'utf8'), /^{"n":4.*\n.*"pre$/);
});

test('a sealer that was killed before Redis heard of its lines seals none of them twice', async () => {
  await using on = await ground();
  await happen(on.store, [start]);
  await seal(on);
  const [cursors, head] = [`${on.store.prefix}:trail-cursors`, `${on.store.prefix}:trail-head`];
  const [before, known] = [await redis.hgetall(cursors), (await redis.get(head)) ?? ''];
  await happen(on.store, [start + 1, start + 2]);
  const entries = await redis.xrange(trailKey(on.store.prefix), '-', '+');
  await seal(on);
  // Redis as it was before: with the entries, and without what the sealer told it.
  await redis.del(trailKey(on.store.prefix));
  for (const [id, fields] of entries)
    await redis.xadd(trailKey(on.store.prefix), id, ...(fields as [string, string]));
  await redis.hset(cursors, before);
  await redis.set(head, known);
  await happen(on.store, [start + 3]);
  await seal(on);
  assert.deepEqual(
    jobsIn(await linesOf(on)),
    [0, 1, 2, 3].map(at => `${start + at}`),
  );
  const { faults, notes } = await verify(on);
  assert.deepEqual([faults, notes], [[], []]);
});

test('a Redis that has lost all begins anew in the same files, which say so', async () => {
  await using on = await ground();
  await happen(on.store, [start + DAY]);
  await seal(on);
  const empty = { ...on, store: newStore() };
  await happen(empty.store, [start, start + DAY + 1]); // its clock is behind, and its ids with it
  await seal(empty);
  assert.deepEqual(jobsIn(await linesOf(on)), [start + DAY, start, start + DAY + 1].map(String));
  const { faults, notes } = await verify(empty);
  assert.deepEqual(faults, []);
  assert.match(notes[0]?.what ?? '', /^resumed at .*Redis had lost where the trail ended/);
});

test('what happens after a fail-over to a clock that is behind is sealed, and what was sealed is not sealed again', async () => {
  await using on = await ground();
  const { redis, prefix } = on.store;
  await happen(on.store, [start, start + 1, start + 2]);
  await seal(on);
  const cursors = `${prefix}:trail-cursors`;
  const cursor = (await redis.hget(cursors, 'files')) ?? '';
  const head = await redis.get(`${prefix}:trail-head`);
  await happen(on.store, [start + 3, start + 5, start + 3_000]);
  await seal(on);
  // The new master has neither the last two events nor that they are sealed, and its clock is behind.
  await redis.del(trailKey(prefix));
  await happen(on.store, [start + 2, start + 3, start + 4]);
  await redis.hset(cursors, 'files', cursor);
  await redis.set(`${prefix}:trail-head`, head ?? '');
  await seal(on);
  const jobs = [0, 1, 2, 3, 5, 3_000, 4].map(time => `${start + time}`);
  assert.deepEqual(jobsIn(await linesOf(on)), jobs);
  await happen(on.store, [start + 6]);
  await seal(on);
  const lines = await linesOf(on);
  assert.deepEqual(jobsIn(lines), [...jobs, `${start + 6}`]);
  const notes = lines.flatMap(({ text }) => JSON.parse(text).note ?? []);
  assert.deepEqual([notes, await faultsOf(on)], [['resumed'], []]);
});

test('entries that left Redis by another way before they were sealed are missed', async () => {
  await using on = await ground();
  await happen(on.store, [start]);
  await seal(on);
  await happen(on.store, [start + 1, start + 2]);
  await redis.xtrim(trailKey(on.store.prefix), 'MAXLEN', 1);
  await seal(on);
  assert.match(
    (await faultsOf(on)).join(),
    /lost at \S+: entries of the stream after \d+-0 and before \d+-0/,
  );
});

test('lines that were sealed and are missing when sealing goes on are missing for good', async () => {
  await using on = await ground();
  await happen(on.store, [start, start + 1]);
  await seal(on);
  const file = join(on.directory, '2026-11-27.jsonl');
  await truncate(file, (await readFile(file)).length - 10);
  await happen(on.store, [start + 2]);
  await seal(on);
  const faults = (await faultsOf(on)).join('\n');
  assert.match(faults, /2026-11-27\.jsonl:3: is no line of a trail|was changed/);
  assert.match(faults, /lost at \S+: 2026-11-27\.jsonl had \d+ bytes where \d+ were sealed/);
  assert.deepEqual(jobsIn((await linesOf(on)).filter((_, at) => at !== 2)), [start, start + 2].map(String));
});

test('old files go, and what is kept is verified from its first line on', async () => {
  await using on = await threeDays();
  on.clock.turn(2 * DAY);
  await seal(on, 1);
  assert.deepEqual(
    (await readdir(on.directory)).filter(name => name.endsWith('.jsonl')),
    ['2026-11-28.jsonl', '2026-11-29.jsonl'],
  );
  assert.deepEqual(await faultsOf(on), []);
  await rm(join(on.directory, '2026-11-28.jsonl'));
  assert.match((await faultsOf(on, false)).join(), /lines 7 to 13 are missing before it/);
});

test('two sealers never have the same directory, and two directories never the same stream', async () => {
  await using on = await ground();
  const parts = { key, keep: 400, store: on.store, clock: on.clock, log: quietLog };
  {
    await using _first = await openTrailFiles({ ...parts, directory: on.directory });
    await assert.rejects(
      openTrailFiles({ ...parts, directory: on.directory }),
      /^Error: another process seals into /,
    );
  }
  await happen(on.store, [start]);
  await seal(on);
  await using other = await ground();
  await assert.rejects(
    seal({ ...other, store: on.store }),
    /is sealed up to line 2 in another directory, and this one is empty: name that directory, or/,
  );
  await using paused = await openTrailFiles({ ...parts, directory: on.directory });
  await redis.set(`${on.store.prefix}:trail-head`, 'moved by another');
  const { failed } = await drainTrail(on.store, { consumers: [paused], keep: 0 }, never);
  assert.equal(failed.size, 0, 'there was nothing to seal');
  await happen(on.store, [start + 1]);
  const again = await drainTrail(on.store, { consumers: [paused], keep: 0 }, never);
  assert.match(String(again.failed.get('files')), /sealed by another process at the same time/);
});

test('what is no event is sealed as it is, and can play no line', async () => {
  await using on = await ground();
  const hostile = { at: start, event: 'issued', n: 1, prev: 'x', mark: 'end', note: 'lost', signed: 'x' };
  await redis.xadd(trailKey(on.store.prefix), `${start}-0`, 'event', JSON.stringify(hostile));
  await redis.xadd(trailKey(on.store.prefix), `${start}-1`, 'event', '{"at":1e99,"event":"issued"}\n{"n":3}');
  await redis.xadd(trailKey(on.store.prefix), `${start}-2`, 'other', 'x');
  await seal(on);
  const lines = (await linesOf(on)).slice(1).map(({ text }) => JSON.parse(text));
  assert.deepEqual(Object.keys(lines[0]), ['n', 'prev', 'id', 'time', 'event']);
  assert.deepEqual(
    lines.slice(1).map(({ event, text }) => [event, text]),
    [
      ['unreadable', '{"at":1e99,"event":"issued"}\n{"n":3}'],
      ['unreadable', ''],
    ],
  );
  assert.deepEqual(await faultsOf(on), []);
});

test('a consumer that fails is handed the same again, and holds up no other', async () => {
  await using on = await ground();
  await happen(on.store, [start, start + 1]);
  const taken: string[][] = [];
  const consumers = (isWell: boolean) => [
    { name: 'ill', take: async () => (isWell ? undefined : Promise.reject(new Error('the disk is full'))) },
    {
      name: 'well',
      take: async (entries: readonly { id: string }[]) => void taken.push(entries.map(({ id }) => id)),
    },
  ];
  const { failed } = await drainTrail(on.store, { consumers: consumers(false), keep: 0 }, never);
  assert.equal(String(failed.get('ill')), 'Error: the disk is full');
  assert.equal(await redis.xlen(trailKey(on.store.prefix)), 2, 'nothing leaves that one has not taken');
  await drainTrail(on.store, { consumers: consumers(true), keep: 0 }, never);
  assert.deepEqual(taken, [[`${start}-0`, `${start + 1}-0`]]);
  assert.equal(await redis.xlen(trailKey(on.store.prefix)), 1);
});

test('where nothing is sealed the last events stay', async () => {
  const store = newStore();
  await happen(store, new Array(1_000).fill(start));
  const consumers = [{ name: 'inventory', take: async () => {} }];
  await drainTrail(store, { consumers, keep: 300 }, never);
  const left = await redis.xlen(trailKey(store.prefix));
  assert.ok(left >= 300 && left < 500, `${left}`);
});
