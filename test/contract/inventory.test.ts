import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InventoryEntry, toEntry } from '../../shared/inventory/entry.ts';
import { openInventory, supersededBy } from '../../shared/inventory/inventory.ts';
import { inventoryKeys } from '../../shared/inventory/records.ts';
import { openInventoryWriter } from '../../shared/inventory/writer.ts';
import { decodePem } from '../../shared/pki/certificate.ts';
import { makeCertificate } from '../shared/pki/openssl-csr.ts';
import { nameOf, openLeafMaker } from '../support/made-leaves.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore, redis } = await startOwnRedis();
const leaves = openLeafMaker();
const day = 24 * 3_600_000;
const now = Date.now();
const never = new AbortController().signal;

function open() {
  const store = newStore();
  const damaged: string[] = [];
  const note = (error: Error) => void damaged.push(error.message);
  return {
    damaged,
    keys: inventoryKeys(store.prefix),
    writer: openInventoryWriter(store, note),
    inventory: openInventory(store, note),
  };
}

const toLeaf = (names: string, days = 90) =>
  decodePem(makeCertificate({ names: names.replaceAll(/[^,]+/g, 'DNS:$&'), days }), ['CERTIFICATE']);

const issued = (leaf: Buffer, block = 'web'): InventoryEntry =>
  toEntry(leaf, { how: 'post', block, account: 'default' });

const namesIn = (found: readonly { names: readonly string[] }[]) => found.map(({ names }) => names.join(' '));

test('a certificate is found by its names and by its serial number, whole as it was issued', async () => {
  const { writer, inventory } = open();
  const entry = issued(toLeaf('www.example.org,example.org'));
  await writer.add([{ entry: entry, at: now }]);
  await writer.add([{ entry: issued(toLeaf('www.example.org.evil.example')), at: now }]);
  const colons = entry.serial.toUpperCase().replace(/..(?=.)/g, '$&:');
  for (const wanted of ['www.example.org', 'EXAMPLE.org', entry.serial, colons])
    assert.deepEqual(await inventory.find(wanted), [entry], wanted);
  assert.deepEqual(await inventory.find('ww.example.org'), []);
  assert.deepEqual(await inventory.find('*'), []);
  assert.deepEqual(await inventory.find(entry.serial.slice(0, -2)), []);
});

test('all of them are listed once, page by page, domains before all below them', async () => {
  const { writer, inventory } = open();
  const wanted = ['example.net', 'example.org', 'a.example.org,b.example.org,example.net', '*.example.org'];
  for (const names of wanted) await writer.add([{ entry: issued(toLeaf(names)), at: now }]);
  const all: string[] = [];
  let after: string | undefined;
  do {
    const page = await inventory.page({}, 1, after);
    all.push(...namesIn(page.certificates));
    after = page.next;
  } while (after !== undefined);
  const several = 'a.example.org b.example.org example.net';
  assert.deepEqual([...all.slice(0, 2)].sort(), [several, 'example.net']); // both under example.net
  assert.deepEqual(all.slice(2), ['example.org', '*.example.org']);
});

test('a page goes on behind the last one, also where that is gone by then, and others have come', async () => {
  const { writer, inventory } = open();
  for (const number of [1, 3, 5, 7]) await writer.add([{ entry: issued(leaves.make(number)), at: now }]);
  const first = await inventory.page({}, 2);
  assert.deepEqual(namesIn(first.certificates), [nameOf(1), nameOf(3)]);
  const later = now + 91 * day;
  assert.equal(await writer.dropEnded(later, never), 4);
  for (const number of [2, 4, 5]) await writer.add([{ entry: issued(leaves.make(number)), at: now }]);
  const second = await inventory.page({}, 9, first.next);
  assert.deepEqual(namesIn(second.certificates), [nameOf(4), nameOf(5)]);
  assert.equal(second.next, undefined);
});

test('globs, blocks and revocations choose, each alone and together, over several looks', async () => {
  const { writer, inventory } = open();
  const many = 1_300;
  const numbers = Array.from({ length: many }, (_, number) => number);
  const blockOf = (number: number) => (number % 100 === 7 ? 'mail' : 'web');
  await writer.add(numbers.map(number => ({ entry: issued(leaves.make(number), blockOf(number)), at: now })));
  const own = await issued(toLeaf('mail.example.net,host-0001299x.example.org'), 'mail');
  await writer.add([{ entry: own, at: now }]);
  const marked = await inventory.find(nameOf(1_207));
  await writer.note('revoked', [
    { id: marked[0]?.id ?? '', note: { at: now } },
    { id: own.id, note: { at: now } },
  ]);
  const list = async (wanted: Parameters<typeof inventory.page>[0]) =>
    namesIn((await inventory.page(wanted, 10_000)).certificates);
  assert.equal((await list({})).length, many + 1);
  assert.deepEqual(await list({ glob: '*-000129[89]*.*.org' }), [
    nameOf(1_298),
    nameOf(1_299),
    own.names.join(' '),
  ]);
  assert.equal((await list({ block: 'mail' })).length, 14);
  assert.deepEqual(await list({ block: 'mail', glob: '*.example.net' }), [own.names.join(' ')]);
  assert.deepEqual(await list({ block: 'mai' }), []);
  assert.deepEqual(await list({ revoked: true }), [own.names.join(' '), nameOf(1_207)]);
  assert.deepEqual(await list({ revoked: true, block: 'web' }), []);
  assert.deepEqual(await list({ revoked: true, block: 'mail', glob: '*.org' }), [
    nameOf(1_207),
    own.names.join(' '),
  ]);
});

test('what is said again says the same, and what turns up changes nothing that is known', async () => {
  const { writer, inventory } = open();
  const entry = issued(toLeaf('www.example.org'));
  for (const _ of [1, 2]) {
    await writer.add([{ entry: entry, at: now }]);
    await writer.note('fetched', [{ id: entry.id, note: { at: now, by: 'hmac', client: '192.0.2.7' } }]);
  }
  assert.deepEqual(await writer.addFound([toEntry(entry.leaf, { how: 'found' })]), new Set());
  const known = { ...entry, fetched: { at: now, by: 'hmac', client: '192.0.2.7' } };
  assert.deepEqual(await inventory.find('www.example.org'), [known]);
  const { leaf: _, issuer: __, ...facts } = known;
  assert.deepEqual((await inventory.page({}, 9)).certificates, [facts]);
});

test('what was found and is then said to be issued is in the list of its block alone', async () => {
  const { writer, inventory } = open();
  const leaf = toLeaf('www.example.org');
  const turnedUp = toEntry(leaf, { how: 'found', block: 'old' });
  assert.deepEqual(await writer.addFound([turnedUp]), new Set([turnedUp.id]));
  await writer.add([{ entry: issued(leaf, 'web'), at: now }]);
  const count = async (block: string) => (await inventory.page({ block }, 9)).certificates.length;
  assert.deepEqual([await count('old'), await count('web')], [0, 1]);
  assert.equal((await inventory.find('www.example.org'))[0]?.how, 'post');
});

test('of many that turn up at once, each that is not known is written, whatever its block is called', async () => {
  const { writer, inventory } = open();
  const blocks = ['web', 'two "words", one\\', 'größe', '\ud800', undefined];
  const found = blocks.map((block, number) => toEntry(leaves.make(number), { how: 'found', block }));
  const [known = assert.fail()] = found;
  await writer.add([{ entry: { ...known, how: 'post' }, at: now }]);
  const added = await writer.addFound([...found, ...found]);
  assert.deepEqual(added, new Set(found.slice(1).map(({ id }) => id)));
  for (const block of blocks.slice(0, -1))
    assert.deepEqual(namesIn((await inventory.page({ block }, 9)).certificates), [
      nameOf(blocks.indexOf(block)),
    ]);
  const origins = (await inventory.page({}, 9)).certificates.map(({ how }) => how);
  assert.deepEqual(origins, ['post', 'found', 'found', 'found', 'found']);
});

test('a certificate of very many names is kept whole, as is the next one of its issuer', async () => {
  const { writer, inventory } = open();
  const names = Array.from({ length: 900 }, (_, number) => `host-${number}.example.org`);
  const [long, other] = [issued(toLeaf(names.join())), issued(toLeaf([...names, 'example.net'].join()))];
  assert.ok(long.leaf.length > 16 * 1024);
  for (const entry of [long, other]) await writer.add([{ entry, at: now }]);
  assert.deepEqual(await inventory.find(long.serial), [long]);
  assert.deepEqual(await inventory.find('example.net'), [other]);
});

test('a certificate for the same names and block supersedes until the older one is fetched again', async () => {
  const { writer, inventory } = open();
  const [old, other, newer] = [toLeaf('a.example', 30), toLeaf('a.example', 31), toLeaf('a.example', 32)];
  const [first, elsewhere, last] = [issued(old), issued(other, 'mail'), issued(newer)];
  for (const entry of [first, elsewhere, issued(toLeaf('a.example,b.example'))])
    await writer.add([{ entry: entry, at: now }]);
  await writer.note('fetched', [{ id: first.id, note: { at: now + 1 } }]);
  const superseded = async () =>
    (await inventory.find('a.example'))
      .filter(supersededBy)
      .map(({ id, superseded }) => [id, superseded?.by]);
  assert.deepEqual(await superseded(), []);
  await writer.add([{ entry: last, at: now + day }]);
  assert.deepEqual(await superseded(), [[first.id, last.serial]]);
  await writer.add([{ entry: first, at: now + 2 * day }]); // the same event once more
  assert.deepEqual(await superseded(), [[first.id, last.serial]]);
  await writer.note('fetched', [{ id: first.id, note: { at: now + 3 * day } }]);
  assert.deepEqual(await superseded(), []);
});

test('what has ended leaves with all that was kept of it', async () => {
  const { writer, inventory, keys } = open();
  const short = issued(toLeaf('short.example,a.example', 1));
  await writer.add([{ entry: short, at: now }]);
  await writer.add([{ entry: issued(toLeaf('long.example', 9)), at: now }]);
  for (const kind of ['fetched', 'revoked', 'forgotten', 'superseded'] as const)
    await writer.note(kind, [
      { id: short.id, note: { at: now } },
      { id: 'of none', note: { at: now } },
    ]);
  assert.equal(await writer.dropEnded(now + day / 2, never), 0);
  assert.equal(await writer.dropEnded(now + 2 * day, never), 1);
  assert.deepEqual(namesIn((await inventory.page({}, 9)).certificates), ['long.example']);
  const lines = await redis.zrange(keys.index, '0', '-1');
  assert.equal(lines.length, 4);
  const notes = await Promise.all(Object.values(keys.notes).map(key => redis.hlen(key)));
  const hashes = await Promise.all([keys.records, keys.newest].map(key => redis.hlen(key)));
  assert.deepEqual([...notes, ...hashes], [0, 0, 0, 0, 1, 1]);
});

test('what is known of an issuer is not taken for granted, as Redis may have lost it', async () => {
  const { writer, inventory, damaged, keys } = open();
  const [one, two, three] = [issued(leaves.make(1)), issued(leaves.make(2)), issued(leaves.make(3))];
  await writer.add([one, two].map(entry => ({ entry, at: now })));
  assert.equal((await inventory.find(nameOf(2))).length, 1);
  await redis.del(keys.records, keys.index, keys.samples, keys.newest);
  await writer.add([three, one].map(entry => ({ entry, at: now })));
  await writer.note('revoked', [{ id: one.id, note: { at: now } }]);
  assert.deepEqual(await inventory.find(nameOf(1)), [{ ...one, revoked: { at: now } }]);
  assert.deepEqual(await inventory.find(nameOf(3)), [three]);
  assert.deepEqual(damaged, []);
});

test('a damaged value is told and passed over, and leaves in its time', async () => {
  const { writer, inventory, keys, damaged } = open();
  const [one, two, three] = [
    issued(toLeaf('a.example')),
    issued(toLeaf('b.example')),
    issued(toLeaf('c.example')),
  ];
  for (const entry of [one, two, three]) await writer.add([{ entry: entry, at: now }]);
  const foreign = await redis.hgetBuffer(keys.records, two.id);
  await redis.hset(keys.records, one.id, foreign ?? '');
  await redis.hset(keys.records, two.id, 'post\n\u0000');
  await redis.hset(keys.notes.revoked, three.id, '{"at":"never"}');
  assert.deepEqual(namesIn((await inventory.page({}, 9)).certificates), ['c.example']);
  assert.deepEqual(
    damaged.map(message => /of (\S+ \S+) in Redis is damaged/.exec(message)?.[1]),
    [`${keys.records} ${one.id}`, `${keys.records} ${two.id}`, `${keys.notes.revoked} ${three.id}`],
  );
  assert.equal(await writer.dropEnded(now + 91 * day, never), 3);
  assert.equal(await redis.exists(keys.records), 0);
});
