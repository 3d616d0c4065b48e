import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idOf, toEntry } from '../../shared/inventory/entry.ts';
import { openInventory } from '../../shared/inventory/inventory.ts';
import { openProjection } from '../../shared/inventory/project.ts';
import { openInventoryWriter } from '../../shared/inventory/writer.ts';
import { drainTrail } from '../../shared/trail/drain.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { openTrail, trailKey } from '../../shared/trail/trail.ts';
import { keptLog } from '../support/kept-log.ts';
import { nameOf, openLeafMaker } from '../support/made-leaves.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore, redis } = await startOwnRedis();
const leaves = openLeafMaker();
const at = Date.now();
const never = new AbortController().signal;

/** The trail, and a scheduler that reads it. */
function open() {
  const store = newStore();
  const trail = openTrail(store);
  const log = keptLog();
  const writer = openInventoryWriter(store, error => assert.fail(error));
  const take = openProjection(writer, log.log);
  const tell = (event: TrailEvent, leaf?: Buffer) =>
    trail.write(event, leaf && ['leaf', leaf.toString('base64')]);
  /** A certificate, and what an event says of it. */
  const make = (number: number) => {
    const leaf = leaves.make(number);
    const { serial, fingerprint, names } = toEntry(leaf, { how: 'post' });
    return { leaf, about: { at, names, serial, fingerprint, block: 'web', account: 'default' } };
  };
  const drain = () => drainTrail(store, { consumers: [{ name: 'inventory', take }], keep: 1_000 }, never);
  const { find, page } = openInventory(store);
  const one = async (name: string) => (await find(name))[0];
  return { store, tell, make, drain, take, find, page, one, log };
}

const byPost = { by: 'hmac key 1', client: '192.0.2.7', job: 'job-1' };

test('what the trail tells of a certificate is in the inventory, from its issue to its end', async () => {
  const { tell, make, drain, one } = open();
  const { leaf, about } = make(1);
  await tell({ ...about, ...byPost, event: 'admitted' });
  await tell({ ...about, ...byPost, event: 'issued' }, leaf);
  await drain();
  const entry = toEntry(leaf, { how: 'post', block: 'web', account: 'default' });
  const ordered = { at, by: 'hmac key 1', client: '192.0.2.7' };
  assert.deepEqual(await one(nameOf(1)), { ...entry, fetched: ordered });
  await tell({ ...about, event: 'handed-out', at: at + 1, by: 'token web1', client: '192.0.2.8' });
  await tell({ ...about, event: 'handed-out', at: at + 2, by: 'token web1', client: '192.0.2.9' });
  await tell({ ...about, event: 'operator', at: at + 3, by: 'operator root', detail: 'revoke it' });
  await drain();
  const fetched = { at: at + 2, by: 'token web1', client: '192.0.2.9' };
  assert.deepEqual(await one(nameOf(1)), { ...entry, fetched });
  await tell({ ...about, event: 'operator', at: at + 4, by: 'operator root', detail: 'forget it' });
  await tell({ ...about, event: 'revoked', at: at + 5, by: 'operator root' });
  await drain();
  const [forgotten, revoked] = [4, 5].map(later => ({ at: at + later, by: 'operator root' }));
  assert.deepEqual(await one(nameOf(1)), { ...entry, fetched, forgotten, revoked });
});

test('a certificate says how Quarry came to it, and who has fetched it: nobody has what was renewed ahead', async () => {
  const { tell, make, drain, one } = open();
  const [ahead, shaman] = [make(1), make(2)];
  await tell({ ...ahead.about, event: 'issued', job: 'job-1' }, ahead.leaf);
  await tell({ ...shaman.about, event: 'issued', block: undefined }, shaman.leaf);
  await drain();
  const found = [await one(nameOf(1)), await one(nameOf(2))];
  assert.deepEqual(
    found.map(known => [known?.how, known?.block, known?.fetched]),
    [
      ['ahead', 'web', undefined],
      ['shaman', undefined, undefined],
    ],
  );
});

test('the same events again, from whichever on, say the same', async () => {
  const { store, tell, make, drain, page } = open();
  const [first, second] = [make(1), make(1)];
  await tell({ ...first.about, ...byPost, event: 'issued' }, first.leaf);
  await tell({ ...first.about, event: 'handed-out', at: at + 1, client: '192.0.2.8' });
  await tell({ ...second.about, ...byPost, event: 'issued', at: at + 2 }, second.leaf);
  await tell({ ...first.about, event: 'revoked', at: at + 3 });
  await drain();
  const known = (await page({}, 9)).certificates;
  const entries = await redis.xrange(trailKey(store.prefix), '-', '+');
  for (const cursor of ['0-0', ...entries.slice(0, -1).map(([id]) => id)]) {
    await redis.hset(`${store.prefix}:trail-cursors`, 'inventory', cursor);
    await drain();
    assert.deepEqual((await page({}, 9)).certificates, known);
  }
  assert.equal(known.length, 2);
});

test('an event whose certificate is damaged, foreign or absent is passed over, and the others come', async () => {
  const { tell, make, drain, page, log } = open();
  const [first, second, third] = [make(1), make(2), make(3)];
  await tell({ ...first.about, event: 'issued' }, second.leaf);
  await tell({ ...second.about, event: 'issued' }, Buffer.from('no certificate'));
  await tell({ ...second.about, event: 'issued' });
  await tell({ at, event: 'revoked', fingerprint: 'zz' });
  await tell({ at, event: 'handed-out' });
  await tell({ ...third.about, event: 'issued' }, third.leaf);
  await drain();
  const { certificates } = await page({}, 9);
  assert.deepEqual(
    certificates.flatMap(({ names }) => names),
    [nameOf(3)],
  );
  const told = log.lines.map(({ msg, serial }) => [msg, serial]);
  const failure = 'a certificate cannot be inventoried';
  assert.deepEqual(
    told,
    [first, second].map(({ about }) => [failure, about.serial]),
  );
});

test('many events are written a hundred at a time, in their order', async () => {
  const { make, log } = open();
  const entries = Array.from({ length: 250 }, (_, number) => {
    const { leaf, about } = make(number);
    const event: TrailEvent = { ...about, ...byPost, event: 'issued' };
    return { id: `${number}-0`, event, text: '', leaf: leaf.toString('base64'), part: 0 };
  });
  const written: string[][] = [];
  const writer: Parameters<typeof openProjection>[0] = {
    add: async issued => void written.push(issued.map(({ entry }) => entry.id)),
    note: async (_, notes) => void (notes.length > 0 && written.push(notes.map(({ id }) => id))),
  };
  await openProjection(writer, log.log)(entries);
  const ids = entries.map(({ event }) => idOf(event.fingerprint ?? ''));
  const parts = [ids.slice(0, 100), ids.slice(100, 200), ids.slice(200)];
  assert.deepEqual(
    written,
    parts.flatMap(part => [part, part]),
  );
});
