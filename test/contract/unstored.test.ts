import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { storeUnstored } from '../../services/scheduler/store-unstored.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals, storedId } from '../../shared/renewal/stored-renewals.ts';
import { openUnstored, storeKept } from '../../shared/renewal/unstored.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { makeCertificate } from '../shared/pki/openssl-csr.ts';
import { keptLog } from '../support/kept-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';
import { chain, chainOf, csr, issuedBy, leaf as leafPem } from './storage.contract.ts';

const { newStore } = await startOwnRedis();
const never = new AbortController().signal;
const day = 24 * 3_600_000;
const leaf = readCertificate(leafPem);
const entry = { csr, chain, leaf, issuedBy };

async function open(renewWithin = 14) {
  const dir = await tempDir();
  const directory = join(dir.path, 'storage');
  const [store, clock, log] = [newStore(), turnedClock(Date.now()), keptLog()];
  const keeping = { renewWithin, renewAhead: true, keepExpired: 30 };
  const config: StorageConfig = { name: 'files', type: 'file', directory, ...keeping };
  const configs = new Map([['files', config]]);
  const storage = openStorages([config], { store, clock, log: log.log }).get('files');
  assert.ok(storage);
  const unstored = openUnstored(configs, store, testSeals, clock);
  const renewals = openStoredRenewals(configs, store);
  const ended: string[] = [];
  const notices = {
    ended: async (subject: string, kinds: readonly string[]) => void ended.push(`${subject} ${kinds}`),
  };
  const parts = { unstored, renewals, notices, clock, log: log.log };
  return {
    ...{ store, clock, log, directory, storage, unstored, ended, configs },
    key: unstored.keyOf('files', csr.digest),
    index: openRenewalIndex(store),
    expiry: openExpiryIndex(store),
    retry: () => storeUnstored(parts, storage, never),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

test('what is kept is read as it was, under the seal of the installation and for its own place', async () => {
  await using opened = await open();
  const { unstored, store, key, configs, clock } = opened;
  await unstored.keep('files', entry);
  const sealed = await store.redis.get(key);
  const kept = unstored.parse('files', csr.digest, sealed);
  assert.deepEqual(
    [kept?.chain, kept?.issuedBy, kept?.csr.pem, kept?.leaf],
    [chain, issuedBy, csr.pem, leaf],
  );
  assert.deepEqual(
    (await unstored.list('files')).map(one => one.sealed),
    [sealed],
  );
  assert.deepEqual(await unstored.list('other'), []);
  for (const place of [
    ['other', csr.digest],
    ['files', '0'.repeat(96)],
  ] as const)
    assert.equal(unstored.parse(place[0], place[1], sealed), undefined);
  const stranger = openUnstored(
    configs,
    store,
    openSeals(Buffer.from('another secret of some letters.')),
    clock,
  );
  assert.equal(stranger.parse('files', csr.digest, sealed), undefined);
  for (const text of [null, undefined, '', 'nonsense'])
    assert.equal(unstored.parse('files', csr.digest, text), undefined);
});

test('what is kept is kept for seven days, and no longer than it is fresh', async () => {
  for (const [life, renewWithin, days] of [
    [90, 14, 7],
    [11, 5, 6],
    [6, 14, 3],
  ] as const) {
    await using opened = await open(renewWithin);
    const chain = chainOf(makeCertificate({ days: life }));
    await opened.unstored.keep('files', { ...entry, chain, leaf: readCertificate(chain) });
    const left = await opened.store.redis.pttl(opened.key);
    assert.ok(Math.abs(left - days * day) < 120_000, `${left / day} days`); // made a moment after the clock
  }
  await using opened = await open();
  opened.clock.turn(77 * day);
  await opened.unstored.keep('files', entry);
  assert.equal(await opened.store.redis.exists(opened.key), 0, 'it is not fresh any more');
});

test('what has lapsed is listed no more, nor remembered', async () => {
  await using opened = await open();
  await opened.unstored.keep('files', entry);
  await opened.store.redis.del(opened.key);
  assert.deepEqual(await opened.unstored.list('files'), []);
  assert.equal(await opened.store.redis.exists(`${opened.store.prefix}:unstored:files`), 0);
});

test('what is kept is stored as soon as that works, is to be renewed then, and ends what people were told', async () => {
  await using opened = await open();
  const { storage, unstored, ended, directory, log } = opened;
  await unstored.keep('files', entry);
  await writeFile(directory, 'a file in its place');
  assert.equal(await opened.retry(), 0);
  assert.deepEqual([ended, (await unstored.list('files')).length], [[], 1]);
  await rm(directory);
  assert.equal(await opened.retry(), 1);
  assert.deepEqual(ended, ['storage/files storage-failed']);
  assert.equal((await storage.get(csr))?.chain, chain);
  assert.deepEqual(await unstored.list('files'), []);
  assert.equal(await opened.expiry.count('files'), 1);
  assert.equal((await opened.index.read([storedId('files', csr)])).length, 1);
  assert.equal(await opened.retry(), 0);
  assert.equal(ended.length, 1, 'nothing was there to be stored');
  assert.equal(log.lines.filter(({ msg }) => msg === 'the storage cannot be read').length, 1);
});

test('what is kept is not stored over a newer certificate', async () => {
  await using opened = await open();
  const { storage, unstored } = opened;
  const old = { ...entry, leaf: { ...leaf, notBefore: leaf.notBefore - day } };
  const newer = chainOf(makeCertificate({ days: 91 }));
  await unstored.keep('files', old);
  await storage.put(csr, newer, issuedBy);
  const [kept] = await unstored.list('files');
  assert.ok(kept);
  assert.equal(await opened.retry(), 1);
  const { chain: stored, leaf: there } = (await storage.get(csr)) ?? {};
  assert.ok(kept.leaf.notBefore <= (there?.notBefore ?? 0));
  assert.equal(stored, newer);
  assert.deepEqual(await unstored.list('files'), []);
});

test('what is revoked while it waits to be stored is not stored', async () => {
  await using opened = await open();
  const { storage, unstored, index, store } = opened;
  await unstored.keep('files', entry);
  const [kept] = await unstored.list('files');
  assert.ok(kept);
  await unstored.drop('files', kept);
  const renewals = openStoredRenewals(opened.configs, store);
  await storeKept({ unstored, renewals, clock: opened.clock }, storage, kept);
  assert.equal(await storage.upkeep?.read(csr.digest), undefined);
  assert.deepEqual(await index.read([storedId('files', csr)]), [undefined]);
});

test('what came in place of what was stored is not dropped with it', async () => {
  await using opened = await open();
  const { unstored } = opened;
  await unstored.keep('files', entry);
  const [first] = await unstored.list('files');
  const newer = chainOf(makeCertificate({ days: 91 }));
  await unstored.keep('files', { ...entry, chain: newer, leaf: readCertificate(newer) });
  assert.ok(first);
  await unstored.drop('files', first);
  assert.deepEqual(
    (await unstored.list('files')).map(one => one.chain),
    [newer],
  );
});
