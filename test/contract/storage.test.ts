import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import { openFileStorage } from '../../shared/storage/file.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { openRedisStorage } from '../../shared/storage/redis.ts';
import { makeCertificate } from '../shared/pki/openssl-csr.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';
import {
  chain,
  chainOf,
  csr,
  csrPem,
  leaf,
  type OpenedStorage,
  storageContract,
} from './storage.contract.ts';

const { redis, connect, newStore } = await startOwnRedis();
const connections = [redis, connect()];

type Options = { renewWithin?: number; now?: number };
const defaultNow = readCertificate(leaf).notBefore;

async function openFile({ renewWithin = 14, now = defaultNow }: Options = {}) {
  const dir = await tempDir();
  const directory = join(dir.path, 'storage');
  const parts = { clock: turnedClock(now), log: keptLog() };
  const open = () =>
    openFileStorage(
      { name: 'files', directory, renewWithin, renewAhead: false },
      { clock: parts.clock, log: parts.log.log },
    );
  const folderOf = ({ digest }: CsrText) => join(directory, digest.slice(0, 2), digest.slice(2));
  const damage: OpenedStorage['damage'] = async (csr, entry) => {
    if (entry.csr !== undefined) await writeFile(join(folderOf(csr), 'csr.pem'), entry.csr);
    if (entry.chain !== undefined) await writeFile(join(folderOf(csr), 'cert.pem'), entry.chain);
  };
  const storages = { storage: open(), other: open() };
  return {
    ...parts,
    ...storages,
    directory,
    folderOf,
    damage,
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

async function openInRedis({ renewWithin = 14, now = defaultNow }: Options = {}) {
  const { prefix } = newStore();
  const parts = { clock: turnedClock(now), log: keptLog() };
  const [storage, other] = connections.map(redis =>
    openRedisStorage(
      { name: 'shared', renewWithin, renewAhead: false, keepExpired: 0 },
      { store: { redis, prefix }, clock: parts.clock, log: parts.log.log },
    ),
  ) as [OpenedStorage['storage'], OpenedStorage['other']];
  const keyOf = ({ digest }: CsrText) => `${prefix}:storage:shared:${digest}`;
  const damage: OpenedStorage['damage'] = async (csr, entry) => {
    const kept = JSON.parse((await redis.get(keyOf(csr))) ?? '{}');
    await redis.set(keyOf(csr), JSON.stringify({ ...kept, ...entry }));
  };
  return { ...parts, storage, other, keyOf, damage, async [Symbol.asyncDispose]() {} };
}

storageContract('file', openFile);
storageContract('redis', openInRedis);

suite('no storage', () => {
  test('keeps nothing', async () => {
    const parts = { store: newStore(), clock: turnedClock(0), log: quietLog };
    const none = openStorages([{ name: 'none', type: 'none' }], parts).get('none');
    await none?.put(csr, chain);
    assert.equal(none?.name, 'none');
    assert.equal(await none?.get(csr), undefined);
  });
});

const sha384 = (text: string) => createHash('sha384').update(text).digest('hex');

/** An entry as macen writes it: under the hash of the CSR as posted, the chain without a newline at its end. */
async function writeAsMacen(directory: string, posted: string, macenChain: string) {
  const hash = sha384(posted);
  const folder = join(directory, hash.slice(0, 2), hash.slice(2));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'csr.pem'), posted);
  await writeFile(join(folder, 'cert.pem'), macenChain);
}

suite("file storage in macen's directory", () => {
  const crlf = csrPem.replaceAll('\n', '\r\n');
  const macenChain = chain.trimEnd();

  for (const [what, posted] of [
    ['as openssl writes it', csrPem],
    ['with CRLF', crlf],
    ['with text around it', `Certificate Request:\n${csrPem}\n\n`],
  ] as const)
    test(`hands out the entry of a CSR ${what}, as it stands`, async () => {
      await using opened = await openFile();
      await writeAsMacen(opened.directory, posted, macenChain);
      assert.equal((await opened.storage.get(readCsr(Buffer.from(posted))))?.chain, macenChain);
      assert.deepEqual(opened.log.lines, []);
    });

  test('hands out the fresh one of two entries for the same CSR', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chainOf(makeCertificate({ days: 20 })));
    opened.clock.turn(15 * 24 * 3_600_000);
    await writeAsMacen(opened.directory, crlf, macenChain);
    assert.equal((await opened.storage.get(readCsr(Buffer.from(crlf))))?.chain, macenChain);
  });

  test('writes where macen looks for what openssl writes', async () => {
    await using opened = await openFile();
    await opened.storage.put(readCsr(Buffer.from(crlf)), chain);
    const hash = sha384(csrPem);
    const folder = join(opened.directory, hash.slice(0, 2), hash.slice(2));
    assert.deepEqual((await readdir(folder)).sort(), ['cert.pem', 'csr.pem']);
    assert.equal(await readFile(join(folder, 'csr.pem'), 'utf8'), csrPem);
    assert.equal(await readFile(join(folder, 'cert.pem'), 'utf8'), chain);
  });
});

suite('file storage', () => {
  test('has nothing while a writer is between its two files', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain);
    await rm(join(opened.folderOf(csr), 'cert.pem'));
    assert.equal(await opened.storage.get(csr), undefined);
    assert.deepEqual(opened.log.lines, []);
  });

  test('takes what it cannot read for absent, and says so', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain);
    const file = join(opened.folderOf(csr), 'cert.pem');
    await rm(file);
    await mkdir(file); // root may read anything but this
    assert.equal(await opened.storage.get(csr), undefined);
    assert.match(String(opened.log.lines[0]?.reason), /EISDIR/);
  });

  test('takes a directory that it may not enter for empty, says so, and rejects what is put', async t => {
    if (process.getuid?.() === 0) return t.skip('root may enter any directory');
    await using opened = await openFile();
    await opened.storage.put(csr, chain);
    await chmod(opened.directory, 0);
    try {
      assert.equal(await opened.storage.get(csr), undefined);
      assert.match(String(opened.log.lines[0]?.reason), /EACCES/);
      await assert.rejects(opened.storage.put(csr, chain), /EACCES/);
    } finally {
      await chmod(opened.directory, 0o700);
    }
  });

  test('takes a directory that is none for empty, says so, and rejects what is put', async () => {
    await using opened = await openFile();
    await writeFile(opened.directory, 'a file');
    assert.equal(await opened.storage.get(csr), undefined);
    assert.match(String(opened.log.lines[0]?.reason), /ENOTDIR/);
    await assert.rejects(opened.storage.put(csr, chain), { code: /ENOTDIR|EEXIST/ });
  });

  test('leaves nothing but its two files behind, readable for all', async () => {
    await using opened = await openFile();
    await Promise.all([opened.storage, opened.other, opened.storage].map(one => one.put(csr, chain)));
    assert.deepEqual((await readdir(dirname(opened.folderOf(csr)))).length, 1);
    assert.deepEqual((await readdir(opened.folderOf(csr))).sort(), ['cert.pem', 'csr.pem']);
    assert.equal((await stat(join(opened.folderOf(csr), 'cert.pem'))).mode & 0o444, 0o444);
  });
});

suite('redis storage', () => {
  test("lets an entry go with its certificate's end", async () => {
    await using opened = await openInRedis();
    await opened.storage.put(csr, chain);
    const { notAfter } = readCertificate(leaf);
    assert.equal(await redis.expiretime(opened.keyOf(csr)), notAfter / 1000);
  });

  test('takes a value that is no entry for absent, and says so', async () => {
    for (const value of ['{"csr": "…', 'null', '[]', '7', '{"csr": 7, "chain": null}', '\u0000\u0001']) {
      await using opened = await openInRedis();
      await redis.set(opened.keyOf(csr), value);
      assert.equal(await opened.storage.get(csr), undefined);
      assert.equal(opened.log.lines.length, 1, value);
    }
  });

  test('keeps the entries of two storages apart', async () => {
    await using opened = await openInRedis();
    await opened.storage.put(csr, chain);
    await using another = await openInRedis();
    assert.equal(await another.storage.get(csr), undefined);
  });
});
