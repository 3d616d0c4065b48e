import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { parseEntry } from '../../shared/trail/event.ts';
import { openTrail, trailKey } from '../../shared/trail/trail.ts';
import { quietLog } from '../support/quiet-log.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();
const event = { at: 1_764_200_000_000, event: 'handed-out' as const, names: ['a.example'], client: '::1' };

test('an event is in Redis once it is written, with its leaf in a field of its own', async () => {
  const store = newStore();
  await openTrail(store).write(event, ['leaf', 'MIIB']);
  const [entry] = await redis.xrange(trailKey(store.prefix), '-', '+');
  assert.deepEqual(entry?.[1], ['event', JSON.stringify(event), 'leaf', 'MIIB']);
});

test('events of one turn share entries, each once and in their order', async () => {
  const store = newStore();
  const trail = openTrail(store);
  const counts = Array.from({ length: 50 }, (_, count) => count);
  await Promise.all(
    counts.map(count => trail.write({ ...event, count }, count % 20 === 7 ? ['leaf', `leaf ${count}`] : [])),
  );
  const entries = await redis.xrange(trailKey(store.prefix), '-', '+');
  assert.equal(entries.length, 4);
  const read = entries.flatMap(([id, fields]) => parseEntry(id, fields));
  assert.deepEqual(
    read.map(one => [one.event?.count, one.leaf]),
    counts.map(count => [count, count % 20 === 7 ? `leaf ${count}` : undefined]),
  );
});

test('an event after one that Redis has not taken yet has an entry of its own', async () => {
  const store = newStore();
  const trail = openTrail(store);
  const first = trail.write(event);
  await new Promise(resolve => setImmediate(resolve));
  await Promise.all([first, trail.write({ ...event, count: 2 })]);
  const entries = await redis.xrange(trailKey(store.prefix), '-', '+');
  assert.deepEqual(
    entries.map(([, fields]) => fields.length),
    [2, 2],
  );
});

test('what a script appends is what is written', async () => {
  const store = newStore();
  const trail = openTrail(store);
  await trail.write(event);
  await redis.xadd(trailKey(store.prefix), ...(trail.entryFor(event) as [string, string, string]));
  const [written, appended] = await redis.xrange(trailKey(store.prefix), '-', '+');
  assert.deepEqual(appended?.[1], written?.[1]);
});

test('a stream that nobody seals is bounded, and one that is sealed keeps all', async () => {
  const [bounded, whole] = [newStore(), newStore()];
  const events = Array.from({ length: 16_000 }, () => event);
  for (const [store, most] of [[bounded, 200] as const, [whole, undefined] as const]) {
    const trail = openTrail(store, { ...(most && { most }) });
    await Promise.all(events.map(one => trail.write(one)));
    await waitUntil('the events', async () => (await redis.xlen(trailKey(store.prefix))) >= 200);
    await openTrail(store).write(event);
  }
  assert.ok((await redis.xlen(trailKey(bounded.prefix))) < 400);
  assert.equal(await redis.xlen(trailKey(whole.prefix)), 1_001);
});

test('each event of a turn that Redis does not take is refused', async () => {
  const away = openRedis({ url: 'redis://127.0.0.1:1' }, 'impatient', quietLog);
  const trail = openTrail({ redis: away, prefix: 'away' });
  const results = await Promise.allSettled([trail.write(event), trail.write(event)]);
  closeRedis(away);
  for (const result of results) {
    assert.ok(result.status === 'rejected' && result.reason instanceof IssuanceError);
    assert.equal(result.reason.code, 'unavailable');
  }
});

test('a stream that is bounded holds up nobody, and fails nobody while Redis is away', async () => {
  const away = openRedis({ url: 'redis://127.0.0.1:1' }, 'impatient', quietLog);
  const trail = openTrail({ redis: away, prefix: 'away' }, { most: 200 });
  await Promise.all([trail.write(event), trail.write(event)]);
  closeRedis(away);
});
