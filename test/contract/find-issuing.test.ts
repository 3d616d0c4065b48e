import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFindIssuing } from '../../services/worker/find-issuing.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { openIssuers } from '../../shared/ca/issuers.ts';
import { splitChain } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { makeCertificate, makeCsr, makeIssued, rsaKey } from '../shared/pki/openssl-csr.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const never = new AbortController().signal;
const [one, two] = [{ directoryUrl: 'https://one.example/dir' }, { directoryUrl: 'https://two.example/dir' }];
const issued = makeIssued({});
const chain = issued.leaf + issued.issuer;
const later = makeIssued({ names: 'DNS:later.example' }).leaf;
const foreign = makeIssued({ issuer: '/CN=Another CA', issuerKey: rsaKey() }).leaf;
const csr = readCsr(Buffer.from(makeCsr({ names: 'DNS:example.org' })));
const unknown = { code: 'unknown', message: /^no account here has got this certificate: / };

function open() {
  const store = newStore();
  const keeping = { name: 'kept', renewWithin: 14, renewAhead: false, keepExpired: 30 };
  const parts = { store, clock: turnedClock(Date.now()), log: quietLog };
  const storage = openStorages([{ ...keeping, type: 'redis' }], parts).get('kept');
  assert.ok(storage);
  const [issuers, expiry] = [openIssuers(store), openExpiryIndex(store)];
  const find = openFindIssuing({ issuers, expiry, storages: new Map([['kept', storage]]) });
  return {
    store,
    storage,
    issuers,
    find: async (pem: string) => (await find([one, two], splitChain(pem)[0] ?? '', never)).issuing,
    isClaimed: async (pem: string) => (await find([one, two], splitChain(pem)[0] ?? '', never)).isClaimed,
  };
}

test('a certificate is of the accounts at the CA whose issuer has signed it, also in another process', async () => {
  const { store, issuers, find } = open();
  await issuers.note(two.directoryUrl, chain);
  assert.deepEqual(await find(later), [two]);
  await openIssuers(store).note(one.directoryUrl, chain);
  assert.deepEqual(await find(later), [one, two]);
  await assert.rejects(find(foreign), unknown);
});

test('what is noted already costs Redis nothing', async () => {
  const { issuers } = open();
  await issuers.note(one.directoryUrl, chain);
  assert.ok(issuers.noted.has(`${one.directoryUrl} ${issued.issuer}`));
  assert.equal(issuers.noted.size, 1);
});

test('a certificate that has signed itself is of no account, even before anything is known', async () => {
  const { find } = open();
  await assert.rejects(find(makeCertificate()), { ...unknown, message: /: it has signed itself$/ });
});

test('a certificate may be of any account as long as nothing is known', async () => {
  assert.deepEqual(await open().find(foreign), [one, two]);
});

test('issuers from before they were noted are found in the storages, once', async () => {
  const { storage, find } = open();
  const issuedBy = { account: 'second', directory: two.directoryUrl };
  await storage.put(csr, chain, issuedBy);
  assert.deepEqual(await find(later), [two]);
  await assert.rejects(find(foreign), unknown);
});

test('a damaged issuer in Redis has signed nothing, and hides no other', async () => {
  const { store, issuers, find } = open();
  await store.redis.sadd(`${store.prefix}:issuers`, 'nonsense', `${one.directoryUrl} nonsense`);
  await issuers.note(two.directoryUrl, chain);
  assert.deepEqual(await find(later), [two]);
});

test('a certificate by a key that its CA has signed nothing else with is asked about by the name of its organisation', async () => {
  const { issuers, find, isClaimed } = open();
  const [subject, next] = ['/C=US/O=A test organisation/CN=R10', '/C=US/O=A test organisation/CN=R11'];
  const known = makeIssued({ issuer: subject });
  await issuers.note(two.directoryUrl, known.leaf + known.issuer);
  const rotated = makeIssued({ issuer: next, issuerKey: rsaKey() }).leaf;
  assert.deepEqual([await find(rotated), await isClaimed(rotated)], [[two], true]);
  assert.deepEqual([await find(known.leaf), await isClaimed(known.leaf)], [[two], false]);
  const other = makeIssued({ issuer: '/C=US/O=Another organisation/CN=R10', issuerKey: rsaKey() }).leaf;
  await assert.rejects(find(other), unknown);
  await assert.rejects(find(foreign), unknown, 'no organisation is none in common');
  await assert.rejects(find(known.issuer), { ...unknown, message: /: it has signed itself$/ });
});

test('an issuer of a storage that has signed a certificate goes before one of the same organisation', async () => {
  const { storage, issuers, find, isClaimed } = open();
  const noted = makeIssued({ issuer: '/O=A test organisation/CN=R10', issuerKey: rsaKey() });
  await issuers.note(one.directoryUrl, noted.leaf + noted.issuer);
  const stored = makeIssued({ issuer: '/O=A test organisation/CN=R11' });
  await storage.put(csr, stored.leaf + stored.issuer, { account: 'second', directory: two.directoryUrl });
  const sibling = makeIssued({ issuer: '/O=A test organisation/CN=R11' }).leaf;
  assert.deepEqual([await find(sibling), await isClaimed(sibling)], [[two], false]);
});

test('an entry that cannot be read hides no other, and is looked at again', async () => {
  const { storage, find } = open();
  const { upkeep } = storage;
  assert.ok(upkeep);
  const unread = readCsr(Buffer.from(makeCsr({ names: 'DNS:other.example.org' })));
  await storage.put(csr, chain, { account: 'second', directory: two.directoryUrl });
  const noted = makeIssued({ issuer: '/CN=Another CA', issuerKey: rsaKey() });
  await storage.put(unread, noted.leaf + noted.issuer, { account: 'first', directory: one.directoryUrl });
  const { faults } = openStoring({ clock: turnedClock(0), log: quietLog });
  let fault: unknown = faults.failed('kept', 'read', '', new Error('EIO'));
  const read = upkeep.read;
  upkeep.read = async key => {
    if (fault && key === unread.digest) throw fault;
    return read(key);
  };
  assert.deepEqual(await find(later), [two]);
  await assert.rejects(find(noted.leaf), unknown);
  fault = undefined;
  assert.deepEqual(await find(noted.leaf), [one]);
});
