import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { removeFromStorages } from '../../services/worker/remove-from-storages.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { readCertificate, splitChain } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { openUnstored } from '../../shared/renewal/unstored.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { makeCertificate, makeCsr } from '../shared/pki/openssl-csr.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { chain, chainOf, csr, csrPem, issuedBy, leaf } from './storage.contract.ts';

const server = await startRedis();
const redis = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});
const never = new AbortController().signal;
const [certificate = ''] = splitChain(chain);
let prefixes = 0;

async function open() {
  const dir = await tempDir();
  const prefix = `{remove-${++prefixes}}`;
  const keeping = { renewWithin: 14, renewAhead: true, keepExpired: 0 };
  const clock = turnedClock(readCertificate(leaf).notBefore);
  const configs: StorageConfig[] = [
    { name: 'none', type: 'none' },
    { name: 'files', type: 'file', directory: dir.path, ...keeping },
    { name: 'shared', type: 'redis', ...keeping },
  ];
  const storages = openStorages(configs, { store: { redis, prefix }, clock, log: quietLog });
  const expiry = openExpiryIndex({ redis, prefix });
  const storage = (name: string) => {
    const found = storages.get(name);
    assert.ok(found);
    return found;
  };
  const configsByName = new Map(configs.map(config => [config.name, config]));
  const renewals = openStoredRenewals(configsByName, {
    redis,
    prefix,
  });
  const unstored = openUnstored(configsByName, { redis, prefix }, testSeals, clock);
  const remove = () => removeFromStorages({ storages, expiry, renewals, unstored }, certificate, never);
  const managed = openRenewalIndex({ redis, prefix });
  return {
    dir: dir.path,
    now: clock.now(),
    expiry,
    renewals,
    managed,
    storage,
    unstored,
    remove,
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

for (const name of ['files', 'shared']) {
  test(`removeFromStorages() finds the entry in ${name} by the index, and no index has it then`, async () => {
    await using opened = await open();
    await opened.storage(name).put(csr, chain, issuedBy);
    const entry = { csr, chain, leaf: readCertificate(leaf) };
    await opened.renewals.issued(name, entry, { block: 'mail', ahead: false }, opened.now);
    assert.equal((await opened.managed.counts(opened.now)).managed, 1);
    assert.deepEqual(await opened.remove(), [name]);
    assert.equal(await opened.storage(name).get(csr), undefined);
    assert.equal(await opened.expiry.count(name), 0);
    assert.equal((await opened.managed.counts(opened.now)).managed, 0);
    assert.deepEqual(await opened.remove(), []);
  });

  test(`removeFromStorages() finds the entry in ${name} that no index knows, or of which it knows another end`, async () => {
    await using opened = await open();
    for (const known of [undefined, 7]) {
      await opened.storage(name).put(csr, chain, issuedBy);
      if (known !== undefined) await opened.expiry.note(name, csr.digest, known);
      assert.deepEqual(await opened.remove(), [name]);
      assert.equal(await opened.storage(name).get(csr), undefined);
    }
  });

  test(`removeFromStorages() leaves other certificates in ${name}`, async () => {
    await using opened = await open();
    const other = chainOf(makeCertificate({ days: 90 }));
    await opened.storage(name).put(csr, other, issuedBy);
    const entry = { csr, chain: other, leaf: readCertificate(other) };
    await opened.renewals.issued(name, entry, { block: 'mail', ahead: false }, opened.now);
    await opened.expiry.note(name, csr.digest, readCertificate(leaf).notAfter);
    assert.deepEqual(await opened.remove(), []);
    assert.equal((await opened.managed.counts(opened.now)).managed, 1);
    assert.equal((await opened.storage(name).get(csr))?.chain, other);
  });
}

test("removeFromStorages() removes macen's entries, also of a certificate that is kept for two spellings of its CSR", async () => {
  await using opened = await open();
  const spellings = [csrPem, csrPem.replaceAll('\n', '\r\n')];
  for (const posted of spellings) {
    const hash = createHash('sha384').update(posted).digest('hex');
    const folder = join(opened.dir, hash.slice(0, 2), hash.slice(2));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'csr.pem'), posted);
    await writeFile(join(folder, 'cert.pem'), chain.trimEnd());
  }
  assert.deepEqual(await opened.remove(), ['files']);
  for (const posted of spellings)
    assert.equal(await opened.storage('files').get(readCsr(Buffer.from(posted))), undefined);
});

test('removeFromStorages() removes what it can read, and fails where something is left that it cannot', async () => {
  for (const isKnown of [true, false]) {
    await using opened = await open();
    for (const name of ['files', 'shared']) {
      await opened.storage(name).put(csr, chain, issuedBy);
      if (isKnown) await opened.expiry.note(name, csr.digest, readCertificate(leaf).notAfter);
    }
    const file = join(opened.dir, csr.digest.slice(0, 2), csr.digest.slice(2), 'cert.pem');
    await rm(file);
    await mkdir(file);
    await assert.rejects(opened.remove(), { code: 'unavailable' });
    assert.equal(await opened.storage('shared').get(csr), undefined);
    await rmdir(file);
    await writeFile(file, chain);
    assert.deepEqual(await opened.remove(), ['files'], 'it can be read again');
  }
});

test('removeFromStorages() passes over what was found in another storage where no index leads there', async () => {
  await using opened = await open();
  await opened.storage('shared').put(csr, chain, issuedBy);
  await opened.expiry.note('shared', csr.digest, readCertificate(leaf).notAfter);
  await rmdir(opened.dir);
  await writeFile(opened.dir, '');
  assert.deepEqual(await opened.remove(), ['shared']);
});

test('removeFromStorages() removes what waits to be stored, so that it never is, and nothing else', async () => {
  await using opened = await open();
  const other = chainOf(makeCertificate({ days: 90 }));
  const otherCsr = readCsr(Buffer.from(makeCsr({ names: 'DNS:other.example.org' })));
  await opened.unstored.keep('files', { csr, chain, leaf: readCertificate(leaf), issuedBy });
  await opened.unstored.keep('files', {
    csr: otherCsr,
    chain: other,
    leaf: readCertificate(other),
    issuedBy,
  });
  assert.deepEqual(await opened.remove(), []);
  assert.deepEqual(
    (await opened.unstored.list('files')).map(one => one.chain),
    [other],
  );
});
