import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { expireStorage } from '../../services/scheduler/expire-storage.ts';
import { indexStorage } from '../../services/scheduler/index-storage.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { openInventory } from '../../shared/inventory/inventory.ts';
import { openInventoryWriter } from '../../shared/inventory/writer.ts';
import { decodePem, readCertificate } from '../../shared/pki/certificate.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals, storedId } from '../../shared/renewal/stored-renewals.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { makeCertificate, makeCsr } from '../shared/pki/openssl-csr.ts';
import { keptLog } from '../support/kept-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const day = 24 * 3_600_000;
const issuedBy = { account: 'default', directory: 'https://ca.example/directory' };
const never = new AbortController().signal;

const { newStore, redis } = await startOwnRedis();

/**
 * A storage of a kind with its indexes, and as many CSRs as are wanted, each with a certificate for so many
 * days.
 */
async function openGround(type: 'file' | 'redis', lives: number[], renewAhead = true) {
  const dir = await tempDir();
  const store = newStore();
  const { prefix } = store;
  const keeping = { renewWithin: 14, renewAhead, keepExpired: 7 };
  const config: StorageConfig = {
    name: 'kept',
    ...keeping,
    ...(type === 'file' ? { type, directory: dir.path } : { type }),
  };
  const entries = lives.map((days, index) => {
    const chain = makeCertificate({ days });
    return {
      csr: readCsr(Buffer.from(makeCsr({ names: `DNS:n${index}.example` }))),
      chain,
      leaf: readCertificate(chain),
    };
  });
  const clock = turnedClock(Date.now());
  const log = keptLog();
  const storage = openStorages([config], { store, clock, log: log.log }).get('kept');
  assert.ok(storage?.upkeep);
  const configs = new Map([['kept', config]]);
  const renewals = openStoredRenewals(configs, store);
  const expiry = openExpiryIndex(store);
  const index = openRenewalIndex(store);
  const inventory = openInventoryWriter(store, error => assert.fail(error));
  const upkeepParts = { store, expiry, renewals, index, inventory, clock, log: log.log };
  const renewingAhead = () => {
    const ahead = new Map([['kept', { ...config, ...keeping, renewAhead: true } as StorageConfig]]);
    const parts = { ...upkeepParts, renewals: openStoredRenewals(ahead, store) };
    return { search: () => indexStorage(storage, 'renewal', parts, never) };
  };
  return {
    renewingAhead,
    ...{
      prefix,
      entries,
      clock,
      log,
      storage,
      upkeep: storage.upkeep,
      renewals,
      expiry,
      index,
      inventory: openInventory(store),
      dir: dir.path,
    },
    expire: (signal = never) => expireStorage(storage, 7, { expiry, clock, log: log.log }, signal),
    search: (signal = never, purpose = 'renewal') => indexStorage(storage, purpose, upkeepParts, signal),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

for (const type of ['file', 'redis'] as const)
  suite(`a ${type} storage`, () => {
    test('loses what ended keep-expired days ago, and nothing else', async () => {
      await using ground = await openGround(type, [1, 2, 30]);
      const { storage, upkeep, entries, renewals, expiry, clock } = ground;
      for (const entry of entries) {
        await storage.put(entry.csr, entry.chain, issuedBy);
        await renewals.issued('kept', entry, { block: 'web', ahead: false }, clock.now());
      }
      assert.equal(await expiry.count('kept'), 3);
      clock.turn(8.5 * day);
      assert.equal(await ground.expire(), 1);
      assert.equal(await ground.expire(), 0);
      assert.equal(await expiry.count('kept'), 2);
      const left = await Promise.all(entries.map(({ csr }) => upkeep.read(csr.digest)));
      assert.deepEqual(
        left.map(entry => entry !== undefined),
        [false, true, true],
      );
    });

    test('does not lose an entry whose certificate was replaced by somebody who told nobody', async () => {
      await using ground = await openGround(type, [1, 90]);
      const [old, newer] = ground.entries;
      assert.ok(old && newer);
      await ground.expiry.note('kept', old.csr.digest, old.leaf.notAfter);
      await ground.storage.put(old.csr, newer.chain, issuedBy);
      ground.clock.turn(30 * day);
      assert.equal(await ground.expire(), 0);
      assert.equal((await ground.upkeep.read(old.csr.digest))?.chain, newer.chain);
      assert.deepEqual(await ground.expiry.ended('kept', newer.leaf.notAfter, 10), []);
    });

    test('is searched for entries that no index knows, which are read once', async () => {
      await using ground = await openGround(type, [90, 90, 90]);
      for (const { csr, chain } of ground.entries) await ground.storage.put(csr, chain, issuedBy);
      assert.equal(await ground.search(), 3);
      assert.equal(await ground.search(), 0);
      assert.equal(await ground.expiry.count('kept'), 3);
      const ids = ground.entries.map(({ csr }) => storedId('kept', csr));
      const managed = await ground.index.read(ids);
      assert.deepEqual(
        managed.map(one => one?.names),
        Array(3).fill(['example.org']),
      );
      assert.deepEqual(
        managed.map(one => one?.notAfter),
        ground.entries.map(({ leaf }) => leaf.notAfter),
      );
    });

    test('is read as a whole, once, when its entries are to be indexed for more than before', async () => {
      await using ground = await openGround(type, [90, 90, 90]);
      for (const { csr, chain } of ground.entries) await ground.storage.put(csr, chain, issuedBy);
      assert.equal(await ground.search(never, 'expiry'), 3);
      assert.equal(await ground.search(never, 'expiry'), 0);
      assert.equal(await ground.search(never, 'renewal'), 3);
      assert.equal(await ground.search(never, 'renewal'), 0);
    });

    test('is watched where it does not renew ahead, and what is found again once it does is renewed', async () => {
      await using ground = await openGround(type, [90, 90], false);
      const { entries, index, storage, renewals, clock } = ground;
      const [first, second] = entries;
      assert.ok(first && second);
      for (const { csr, chain } of entries) await storage.put(csr, chain, issuedBy);
      await renewals.issued('kept', first, { block: 'web', ahead: false }, clock.now());
      assert.equal(await ground.search(never, 'watch'), 2);
      const ids = entries.map(({ csr }) => storedId('kept', csr));
      const [fetched, unfetched] = await index.lastFetches(ids);
      assert.deepEqual([fetched?.block, unfetched], ['web', undefined]);
      const renews = async () => (await index.read(ids)).map(one => one?.renews);
      assert.deepEqual([await renews(), (await index.counts(0)).managed], [[false, false], 0]);
      assert.deepEqual((await index.due(clock.now() + 7 * 3_600_000, 10)).sort(), ids.sort());

      assert.equal(await ground.renewingAhead().search(), 2);
      assert.deepEqual([await renews(), (await index.counts(0)).managed], [[true, true], 2]);
      assert.equal((await index.due(clock.now() + 7 * 3_600_000, 10)).length, 2);
    });

    test('is upkept but for an entry that cannot be read, which is neither forgotten nor taken for gone', async () => {
      await using ground = await openGround(type, [1, 1, 90]);
      const { storage, upkeep, entries, renewals, expiry, index, clock, log } = ground;
      for (const { csr, chain } of entries) await storage.put(csr, chain, issuedBy);
      const [unread, other] = entries;
      assert.ok(unread && other);
      const { faults } = openStoring({ clock, log: log.log });
      const fault = faults.failed('kept', 'read', '', new Error('EIO'));
      const said = log.lines.length;
      const { read, expire } = upkeep;
      upkeep.read = async key => {
        if (key === unread.csr.digest) throw fault;
        return read(key);
      };
      upkeep.expire = async (key, before) => {
        if (key === unread.csr.digest) throw fault;
        return expire(key, before);
      };
      await assert.rejects(ground.search(), { code: 'unavailable' });
      assert.equal(await expiry.count('kept'), 2);
      upkeep.read = read;
      await ground.search();
      assert.equal(await expiry.count('kept'), 3);

      await renewals.issued('kept', unread, { block: 'web', ahead: false }, clock.now());
      clock.turn(8.5 * day);
      assert.equal(await ground.expire(), 1);
      assert.equal(await read(other.csr.digest), undefined);
      assert.equal((await index.read([storedId('kept', unread.csr)])).length, 1);
      clock.turn(day / 24 + 1);
      upkeep.expire = expire;
      assert.equal(await ground.expire(), 1, 'an hour later');
      assert.equal(await read(unread.csr.digest), undefined);
      const more = log.lines.slice(said).filter(({ level }) => Number(level) > 30);
      assert.deepEqual(more, [], 'the storage has told of it');
    });

    test('is searched on where a search was stopped', async () => {
      await using ground = await openGround(type, [90, 90, 90]);
      for (const { csr, chain } of ground.entries) await ground.storage.put(csr, chain, issuedBy);
      const stopping = new AbortController();
      stopping.abort(new Error('stopping'));
      await assert.rejects(ground.search(stopping.signal), /stopping/);
      assert.equal(await ground.search(), 3);
    });
  });

suite("macen's entries", () => {
  test('are found under the digest of what was posted, and renewed once under that of the CSR', async () => {
    await using ground = await openGround('file', [90]);
    const [entry] = ground.entries;
    assert.ok(entry);
    const posted = readCsr(Buffer.from(`text before\n${entry.csr.pem}`));
    for (const digest of [posted.postedDigest, '0'.repeat(96)]) {
      const folder = join(ground.dir, digest.slice(0, 2), digest.slice(2));
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'csr.pem'), `text before\n${entry.csr.pem}`);
      await writeFile(join(folder, 'cert.pem'), entry.chain.trim());
    }
    assert.equal(await ground.search(), 2);
    const { managed } = await ground.index.counts(Date.now());
    assert.equal(managed, 1);
    const [found] = await ground.index.read([storedId('kept', entry.csr)]);
    assert.equal(found?.notAfter, entry.leaf.notAfter);
  });
});

suite('a search', () => {
  test('takes what no event has told of into the inventory, with who fetched it last', async () => {
    await using ground = await openGround('redis', [90, 30, 90]);
    const [fetched, never, over] = ground.entries;
    assert.ok(fetched && never && over);
    for (const { csr, chain } of ground.entries) await ground.storage.put(csr, chain, issuedBy);
    await ground.renewals.fetched('kept', fetched.csr, 'web', ground.clock.now());
    await ground.renewals.fetched('kept', over.csr, 'web', over.leaf.notBefore - day); // its predecessor
    assert.equal(await ground.search(), 3);
    const { certificates } = await ground.inventory.page({}, 9);
    const known = certificates.map(({ fingerprint, how, block, account, fetched }) => [
      ...[fingerprint, how, block, account, fetched?.at],
    ]);
    const expected = [
      [fetched, 'found', 'web', 'default', ground.clock.now()],
      [never, 'found', undefined, 'default', undefined],
      [over, 'found', undefined, 'default', undefined],
    ].map(([entry, ...rest]) => [
      hash('sha256', decodePem((entry as typeof never).chain, ['CERTIFICATE'])),
      ...rest,
    ]);
    assert.deepEqual(new Set(known), new Set(expected));
  });

  test('reads and writes many entries by few commands', async () => {
    await using ground = await openGround('redis', Array(20).fill(90));
    for (const { csr, chain } of ground.entries) await ground.storage.put(csr, chain, issuedBy);
    await redis.config('RESETSTAT');
    assert.equal(await ground.search(), 20);
    const calls = await redis.info('commandstats');
    const of = (command: string) =>
      Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(calls)?.[1] ?? 0);
    assert.deepEqual([of('get'), of('mget'), of('hmget')], [0, 1, 2]);
    assert.ok(of('evalsha') <= 4, 'where Redis does not know the script yet, it is sent again');
    assert.equal((await ground.index.counts(0)).managed, 20);
    assert.equal(await ground.expiry.count('kept'), 20);
  });

  test('finds of two entries for the same CSR the one that ends last, in whatever order', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      await using ground = await openGround('redis', [90, 30]);
      const [first, second] = ground.entries;
      assert.ok(first && second);
      const both = [
        { place: 'a', entry: first },
        { place: 'b', entry: { ...second, csr: first.csr } },
      ];
      const found = order.flatMap(at => both[at] ?? []);
      await ground.renewals.found('kept', found, ground.clock.now());
      const [managed] = await ground.index.read([storedId('kept', first.csr)]);
      assert.deepEqual([managed?.notAfter, managed?.place], [first.leaf.notAfter, 'a']);
      assert.equal(await ground.expiry.count('kept'), 2);
    }
  });

  test('leaves alone what was issued after it had asked for what is known', async () => {
    await using ground = await openGround('redis', [30, 60]);
    const { index, renewals, clock } = ground;
    const [old, newer] = ground.entries.map(entry => ({ ...entry, csr: ground.entries[0]?.csr as CsrText }));
    assert.ok(old && newer);
    const id = storedId('kept', old.csr);
    const read = async () => (await index.read([id]))[0];
    const issue = async (entry: typeof old) => {
      await renewals.issued('kept', entry, { block: 'web', ahead: false }, clock.now());
      return (await read()) as ManagedCertificate;
    };
    const first = await issue(old);
    await index.addFound([{ managed: { ...first, looked: true }, at: 0, known: undefined }]);
    assert.equal((await read())?.looked, false, 'none was there');
    await issue(newer);
    await index.addFound([{ managed: { ...first, looked: true }, at: 0, known: first }]);
    assert.equal((await read())?.notAfter, newer.leaf.notAfter, 'another one was there');
    const second = await read();
    await index.addFound([{ managed: { ...first, looked: true }, at: 0, known: second }]);
    assert.equal((await read())?.looked, true);
    await index.addFound([]);
  });
});

suite('the renewal index', () => {
  test('lets nobody write over a certificate with what was found out of its predecessor', async () => {
    await using ground = await openGround('redis', [30, 60]);
    const { index, renewals, entries, clock } = ground;
    const [old, newer] = entries;
    assert.ok(old && newer);
    const id = storedId('kept', old.csr);
    await renewals.issued('kept', old, { block: 'web', ahead: false }, clock.now());
    const [before] = await index.read([id]);
    assert.ok(before);
    await renewals.issued('kept', { ...newer, csr: old.csr }, { block: 'web', ahead: true }, clock.now());
    assert.equal(await index.save({ ...before, pollFailures: 3 }, 0), false);
    const [after] = await index.read([id]);
    assert.deepEqual([after?.notAfter, after?.pollFailures, after?.ahead], [newer.leaf.notAfter, 0, true]);
  });

  test('takes what an earlier version wrote, which watched nothing, for what is renewed', async () => {
    await using ground = await openGround('redis', [30]);
    const { index, renewals, entries, clock, prefix } = ground;
    const [entry] = entries;
    assert.ok(entry);
    await renewals.issued('kept', entry, { block: 'web', ahead: false }, clock.now());
    const id = storedId('kept', entry.csr);
    const text = (await redis.hget(`${prefix}:renewals:entries`, id)) ?? '';
    await redis.hset(`${prefix}:renewals:entries`, id, text.replace('"renews":true,', ''));
    assert.equal((await index.read([id]))[0]?.renews, true);
  });

  test('knows what is due, what failed, when the first ends, and who fetched', async () => {
    await using ground = await openGround('redis', [30, 60]);
    const { index, renewals, entries, clock } = ground;
    for (const entry of entries)
      await renewals.issued('kept', entry, { block: 'web a', ahead: false }, clock.now());
    const [first = '', second = ''] = entries.map(({ csr }) => storedId('kept', csr));
    const [managed] = await index.read([first]);
    assert.ok(managed);
    await index.save({ ...managed, failures: { count: 1, last: 5, reason: 'no' } }, 5);
    assert.deepEqual(await index.due(6, 10), [first]);
    assert.deepEqual(await index.counts(6), {
      managed: 2,
      due: 1,
      failed: 1,
      soonestEnd: entries[0]?.leaf.notAfter,
    });
    assert.deepEqual(await index.lastFetches([second, 'x']), [
      { at: clock.now(), block: 'web a' },
      undefined,
    ]);
    await index.save({ ...managed, left: true }, 5);
    assert.equal(
      (await index.counts(6)).soonestEnd,
      entries[1]?.leaf.notAfter,
      'what is left to expire does not count',
    );
    await index.remove(first);
    assert.deepEqual(await index.read([first]), [undefined]);
    assert.deepEqual(await index.counts(6), {
      managed: 1,
      due: 0,
      failed: 0,
      soonestEnd: entries[1]?.leaf.notAfter,
    });
  });
});
