import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import fs, { writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { after, suite, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type FileThreads, openFileThreads } from '../../shared/base/file-threads.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { readCertificate, splitChain } from '../../shared/pki/certificate.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import { openFileStorage } from '../../shared/storage/file.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { openRedisStorage } from '../../shared/storage/redis.ts';
import { makeCertificate, makeCsr } from '../shared/pki/openssl-csr.ts';
import { failCalls, holdCall, releasePipe } from '../support/file-system.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { waitUntil } from '../support/wait-until.ts';
import {
  chain,
  chainOf,
  csr,
  csrPem,
  issuedBy,
  leaf,
  type OpenedStorage,
  storageContract,
  upkeepOf,
} from './storage.contract.ts';

const server = await startRedis();
const redis = [
  openRedis({ url: server.url }, 'patient', quietLog),
  openRedis({ url: server.url }, 'patient', quietLog),
] as const;
after(async () => {
  redis.forEach(closeRedis);
  await server[Symbol.asyncDispose]();
});

type Options = {
  renewWithin?: number;
  now?: number;
  typeOf?: () => Promise<number>;
  threads?: FileThreads;
};
const defaultNow = readCertificate(leaf).notBefore;

type OpenedFile = Awaited<ReturnType<typeof openFile>>;

async function openFile({ renewWithin = 14, now = defaultNow, typeOf, threads }: Options = {}) {
  const dir = await tempDir();
  const directory = join(dir.path, 'storage');
  const parts = { clock: turnedClock(now), log: keptLog() };
  const own = openStoring({ clock: parts.clock, log: parts.log.log });
  const shared = { ...own, ...(threads && { threads }) };
  const open = () =>
    openFileStorage(
      { name: 'files', directory, renewWithin, renewAhead: false },
      { clock: parts.clock, log: parts.log.log, ...shared, ...(typeOf && { typeOf }) },
    );
  const folderOf = ({ digest }: CsrText) => join(directory, digest.slice(0, 2), digest.slice(2));
  const damage: OpenedStorage['damage'] = async (csr, entry) => {
    if (entry.csr !== undefined) await writeFile(join(folderOf(csr), 'csr.pem'), entry.csr);
    if (entry.chain !== undefined) await writeFile(join(folderOf(csr), 'cert.pem'), entry.chain);
    if (entry.record !== undefined)
      await writeFile(join(folderOf(csr), 'quarry.json'), JSON.stringify(entry.record));
  };
  const storages = { storage: open(), other: open() };
  return {
    ...parts,
    ...storages,
    ...shared,
    directory,
    folderOf,
    damage,
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** A file storage whose one entry has lain still, and was handed out. */
async function openSettled(options: Options = {}, text = chain) {
  const opened = await openFile(options);
  await opened.other.put(csr, text, issuedBy);
  opened.clock.turn(24 * 3_600_000);
  assert.equal((await opened.storage.get(csr))?.chain, text);
  return opened;
}

let prefixes = 0;

async function openInRedis({ renewWithin = 14, now = defaultNow }: Options = {}) {
  const prefix = `{quarry-${++prefixes}}`;
  const parts = { clock: turnedClock(now), log: keptLog() };
  const { faults } = openStoring({ clock: parts.clock, log: parts.log.log });
  const [storage, other] = redis.map(redis =>
    openRedisStorage(
      { name: 'shared', renewWithin, renewAhead: false, keepExpired: 0 },
      { store: { redis, prefix }, clock: parts.clock, log: parts.log.log, faults },
    ),
  ) as [OpenedStorage['storage'], OpenedStorage['other']];
  const keyOf = ({ digest }: CsrText) => `${prefix}:storage:shared:${digest}`;
  const damage: OpenedStorage['damage'] = async (csr, entry) => {
    const kept = JSON.parse((await redis[0].get(keyOf(csr))) ?? '{}');
    const { record = kept.quarry, ...texts } = entry;
    await redis[0].set(keyOf(csr), JSON.stringify({ ...kept, ...texts, quarry: record }));
  };
  return { ...parts, storage, other, keyOf, damage, async [Symbol.asyncDispose]() {} };
}

storageContract('file', openFile);
storageContract('redis', openInRedis);

suite('no storage', () => {
  test('is none: there is nothing to ask and nothing to put into', () => {
    const parts = { store: { redis: redis[0], prefix: 'x' }, clock: turnedClock(0), log: quietLog };
    assert.deepEqual([...openStorages([{ name: 'none', type: 'none' }], parts)], []);
  });
});

const codeOf = (settled: PromiseSettledResult<unknown>) =>
  settled.status === 'rejected' ? settled.reason.code : 'fulfilled';

const sha384 = (text: string) => createHash('sha384').update(text).digest('hex');

/**
 * An entry as macen writes it: under the hash of the CSR as posted, the chain without a newline at its end.
 */
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
    await opened.storage.put(csr, chainOf(makeCertificate({ days: 20 })), issuedBy);
    opened.clock.turn(15 * 24 * 3_600_000);
    await writeAsMacen(opened.directory, crlf, macenChain);
    assert.equal((await opened.storage.get(readCsr(Buffer.from(crlf))))?.chain, macenChain);
  });

  test('hands out the good one of two entries for the same CSR', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain, issuedBy);
    await writeAsMacen(opened.directory, crlf, macenChain);
    const posted = readCsr(Buffer.from(crlf));
    const found = await opened.storage.get(posted, stored => stored.issuedBy === undefined);
    assert.equal(found?.chain, macenChain);
  });

  test('hands out what macen has written until a time that is set for it', async () => {
    await using opened = await openFile();
    await writeAsMacen(opened.directory, csrPem, macenChain);
    assert.equal(await opened.storage.upkeep?.setRenewFrom(csr.digest, macenChain, defaultNow), true);
    assert.equal(await opened.storage.get(csr), undefined);
    assert.equal((await opened.storage.upkeep?.read(csr.digest))?.issuedBy, undefined);
    assert.deepEqual((await readdir(opened.folderOf(csr))).sort(), ['cert.pem', 'csr.pem', 'quarry.json']);
  });

  test('writes where macen looks for what openssl writes', async () => {
    await using opened = await openFile();
    await opened.storage.put(readCsr(Buffer.from(crlf)), chain, issuedBy);
    const hash = sha384(csrPem);
    const folder = join(opened.directory, hash.slice(0, 2), hash.slice(2));
    assert.deepEqual((await readdir(folder)).sort(), ['cert.pem', 'csr.pem', 'quarry.json']);
    assert.equal(await readFile(join(folder, 'csr.pem'), 'utf8'), csrPem);
    assert.equal(await readFile(join(folder, 'cert.pem'), 'utf8'), chain);
  });
});

const later = chainOf(makeCertificate({ days: 91 }));
const length = Math.max(chain.length, later.length);
/** Two chains of the same size. */
const [first, second] = [chain.padEnd(length, '\n'), later.padEnd(length, '\n')];

/** Ways to write another certificate of the same size over one that has been handed out. */
const replacements: Record<string, (file: string) => Promise<void>> = {
  'in place of it, with the time of the first': async file => {
    const { atime, mtime } = await stat(file);
    await writeFile(`${file}.new`, second);
    await utimes(`${file}.new`, atime, mtime);
    await rename(`${file}.new`, file);
  },
  'over it, within the same second': async file => {
    const { atime, mtimeMs } = await stat(file);
    const start = Math.floor(mtimeMs / 1000);
    await writeFile(file, second);
    await utimes(file, atime, start + (mtimeMs % 1000 < 500 ? 0.75 : 0.25));
  },
  'over it, with the time of the first': async file => {
    const before = await stat(file, { bigint: true });
    const { atime, mtime } = await stat(file);
    do {
      await writeFile(file, second);
      await utimes(file, atime, mtime);
    } while ((await stat(file, { bigint: true })).ctimeNs === before.ctimeNs);
  },
};

/** As statfs(2) has them: ext4's and NFS's. */
const types = { 'of this machine': async () => 0xef53, 'on the network': async () => 0x6969 };

for (const [where, typeOf] of Object.entries(types))
  suite(`file storage in a file system ${where}`, () => {
    test('reads an entry that lies still once', async () => {
      await using opened = await openSettled({ typeOf });
      await rm(join(opened.folderOf(csr), 'csr.pem'));
      assert.equal((await opened.storage.get(csr))?.chain, chain);
      assert.equal(await opened.other.get(csr), undefined, 'another process needs the CSR once');
    });

    for (const [how, replace] of Object.entries(replacements))
      test(`hands out what another process writes ${how}`, async () => {
        await using opened = await openSettled({ typeOf }, first);
        await replace(join(opened.folderOf(csr), 'cert.pem'));
        assert.equal((await opened.storage.get(csr))?.chain, second);
        assert.deepEqual(opened.log.lines, []);
      });

    test('hands out what is put by another process after it has handed out the last', async () => {
      await using opened = await openSettled({ typeOf });
      await opened.other.put(csr, later, { ...issuedBy, account: 'zerossl' });
      const stored = await opened.storage.get(csr);
      assert.deepEqual([stored?.chain, stored?.issuedBy?.account], [later, 'zerossl']);
    });

    test('heeds what another process writes of a certificate that it has handed out', async () => {
      await using opened = await openSettled({ typeOf });
      const setRenewFrom = (at: number | undefined) =>
        opened.other.upkeep?.setRenewFrom(csr.digest, chain, at);
      await setRenewFrom(opened.clock.now());
      assert.equal(await opened.storage.get(csr), undefined);
      await setRenewFrom(undefined);
      assert.deepEqual((await opened.storage.get(csr))?.issuedBy, issuedBy);
      await rm(join(opened.folderOf(csr), 'quarry.json'));
      assert.deepEqual((await opened.storage.get(csr))?.issuedBy, undefined);
    });

    test('hands out no longer what is removed or damaged after it has handed it out, until it is mended', async () => {
      await using opened = await openSettled({ typeOf });
      await rm(opened.folderOf(csr), { recursive: true });
      assert.equal(await opened.storage.get(csr), undefined);
      assert.deepEqual(opened.log.lines, []);
      await opened.other.put(csr, chain, issuedBy);
      assert.equal((await opened.storage.get(csr))?.chain, chain);
      await opened.damage(csr, { chain: chain.slice(0, 200) });
      assert.equal(await opened.storage.get(csr), undefined);
      assert.equal(opened.log.lines.length, 1);
      await opened.damage(csr, { chain });
      assert.equal((await opened.storage.get(csr))?.chain, chain);
    });

    test('says of no entry that it is absent while its file system hangs, and holds up nothing else', async t => {
      t.mock.timers.enable({ apis: ['setTimeout'] });
      await using opened = await openSettled({ typeOf });
      await using healthy = await openSettled({ typeOf });
      const csrs = ['a', 'b', 'c', 'd', 'e'].map(name =>
        readCsr(Buffer.from(makeCsr({ names: `DNS:${name}.example.org` }))),
      );
      const files = csrs.map(one => join(opened.folderOf(one), 'cert.pem'));
      for (const file of files) {
        await mkdir(dirname(file), { recursive: true });
        execFileSync('mkfifo', [file]); // to open it hangs until it is written
      }
      const looks = csrs.map(one => opened.storage.get(one));
      // Node has four threads for files, and more looks than that hang here.
      for (let time = 0; time < 20; time++) assert.equal((await healthy.storage.get(csr))?.chain, chain);
      assert.deepEqual(opened.log.lines, []);
      t.mock.timers.tick(5_000);
      // What was read before it hung, too.
      const asked = await Promise.allSettled([...looks, opened.storage.get(csr)]);
      assert.deepEqual(asked.map(codeOf), Array(6).fill('unavailable'));
      const told = opened.log.lines.map(({ msg, reason }) => `${msg}: ${reason}`);
      assert.deepEqual(told, [
        `the storage cannot be read: directory ${opened.directory}: the file system does not answer`,
      ]);
      await assert.rejects(opened.storage.put(csr, chain, issuedBy), { code: 'unavailable' });

      t.mock.timers.reset();
      const again = async () => {
        await releasePipe(files[0] ?? ''); // the others are looked at no more
        return opened.storage.get(csr).catch(() => undefined);
      };
      await waitUntil('the storage to answer', async () => (await again())?.chain === chain);
      await opened.storage.put(csr, chain, issuedBy);
    });
  });

suite('file storage', () => {
  test('looks at an entry once for all who ask for it together, and at what is there by then', async t => {
    await using opened = await openSettled({ typeOf: types['of this machine'] }, first);
    const certificate = join(opened.folderOf(csr), 'cert.pem');
    const looks = t.mock.method(fs, 'statSync');
    syncBuiltinESMExports();
    const asked = [opened.storage.get(csr), opened.storage.get(csr), opened.storage.get(csr)];
    writeFileSync(certificate, second);
    const stored = await Promise.all(asked);
    t.mock.restoreAll();
    syncBuiltinESMExports();
    assert.deepEqual(
      stored.map(one => one?.chain),
      [second, second, second],
    );
    const lookedAt = looks.mock.calls.filter(({ arguments: [path] }) => path === certificate);
    assert.equal(lookedAt.length, 1);
  });

  test('leaves others their threads while all that is read for its upkeep hangs', async () => {
    await using opened = await openFile();
    await using other = await openFile({ threads: opened.threads });
    const { upkeep } = opened.storage;
    const digests = ['a', 'b', 'c', 'd', 'e'].map(digit => digit.repeat(96));
    const pipes = digests.map(digest => join(opened.folderOf({ ...csr, digest }), 'csr.pem'));
    for (const pipe of pipes) await mkdir(dirname(pipe), { recursive: true });
    execFileSync('mkfifo', pipes);
    const reads = Promise.all(digests.map(digest => upkeep?.read(digest)));
    await other.storage.put(csr, chain, issuedBy); // would never end
    assert.equal((await other.storage.get(csr))?.chain, chain);
    let isRead = false;
    reads.then(() => {
      isRead = true;
    });
    await waitUntil('all to be read', async () => {
      await Promise.all(pipes.map(releasePipe));
      return isRead;
    });
    assert.deepEqual(await reads, Array(5).fill(undefined));
  });

  test('gives a look up as soon as its caller waits no longer', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    await using opened = await openFile();
    const pipe = join(opened.folderOf(csr), 'cert.pem');
    await mkdir(dirname(pipe), { recursive: true });
    execFileSync('mkfifo', [pipe]);
    const look = opened.storage.get(csr, undefined, 1_000);
    t.mock.timers.tick(1_000);
    await assert.rejects(look, { code: 'unavailable' });
    t.mock.timers.reset();
    const { isHanging } = opened.threads.of(opened.directory);
    await waitUntil('the look to end', async () => {
      await releasePipe(pipe);
      return !isHanging();
    });
  });

  test('looks again at what it has read at once in a file system of this machine, else by a thread', async () => {
    await using dir = await tempDir();
    await using near = await openSettled({ typeOf: types['of this machine'] });
    await using far = await openSettled({ typeOf: types['on the network'] });
    const pipes = Array.from({ length: Number(process.env.UV_THREADPOOL_SIZE ?? 4) }, (_, number) =>
      join(dir.path, `${number}`),
    );
    execFileSync('mkfifo', pipes);
    const held = pipes.map(pipe => readFile(pipe)); // by all threads, until the pipes are written
    const isAtOnce = (opened: OpenedStorage) =>
      Promise.race([opened.storage.get(csr).then(found => found?.chain === chain), nextTurn(false)]);
    try {
      assert.deepEqual([await isAtOnce(near), await isAtOnce(far)], [true, false]);
    } finally {
      for (const pipe of pipes) writeFileSync(pipe, '');
      await Promise.all(held);
    }
    assert.equal((await far.storage.get(csr))?.chain, chain);
  });

  test('has nothing while a writer is between its two files', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain, issuedBy);
    await rm(join(opened.folderOf(csr), 'cert.pem'));
    assert.equal(await opened.storage.get(csr), undefined);
    assert.deepEqual(opened.log.lines, []);
  });

  test('has no new certificate before it knows who issued it', async t => {
    await using opened = await openFile({ threads: openFileThreads(16) });
    const held = Promise.withResolvers<void>();
    const reached = holdCall(t, 'rename', held.promise, (_, to) => String(to).endsWith('quarry.json'));
    const put = opened.other.put(csr, chain, issuedBy);
    await reached;
    assert.equal(await opened.storage.get(csr), undefined);
    held.resolve();
    await put;
    assert.deepEqual((await opened.storage.get(csr))?.issuedBy, issuedBy);
  });

  test('knows who issued a certificate that is put while its predecessor is read', async t => {
    await using opened = await openFile({ threads: openFileThreads(16) });
    await opened.other.put(csr, chain, issuedBy);
    const held = Promise.withResolvers<void>();
    const reached = holdCall(t, 'readFile', held.promise, path => String(path).endsWith('cert.pem'));
    const got = opened.storage.get(csr);
    await reached;
    const newer = chainOf(makeCertificate({ days: 91 }));
    await opened.other.put(csr, newer, issuedBy);
    held.resolve();
    const { chain: found, issuedBy: by } = (await got) ?? {};
    assert.deepEqual([found, by], [newer, issuedBy]);
  });

  test('reads an entry that was just written every time, as its times may not tell it from the next', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain, issuedBy);
    const { ctimeMs } = await stat(join(opened.folderOf(csr), 'quarry.json'));
    opened.clock.turn(Math.ceil(ctimeMs) + 2_400 - opened.clock.now());
    assert.ok(await opened.storage.get(csr));
    await rm(join(opened.folderOf(csr), 'csr.pem'));
    assert.equal(await opened.storage.get(csr), undefined);
  });

  test("says who issued in JSON of its own, which names the certificate's fingerprint", async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain, issuedBy);
    const { fingerprint256 } = new X509Certificate(leaf);
    assert.deepEqual(JSON.parse(await readFile(join(opened.folderOf(csr), 'quarry.json'), 'utf8')), {
      ...issuedBy,
      certificate: fingerprint256.replaceAll(':', '').toLowerCase(),
    });
  });

  test('hands out what macen has written over an entry of its own, of which it knows nothing', async () => {
    await using opened = await openFile();
    await opened.storage.put(csr, chain, issuedBy);
    const macenChain = chainOf(makeCertificate({ days: 91 })).trimEnd();
    await writeAsMacen(opened.directory, csrPem, macenChain);
    const stored = await opened.storage.get(csr);
    assert.deepEqual([stored?.chain, stored?.issuedBy], [macenChain, undefined]);
  });

  /** What keeps a storage from being read, and what of that root meets, too. */
  const obstacles: Record<string, (opened: OpenedFile, t: TestContext) => Promise<void>> = {
    'a folder in place of its certificate (EISDIR)': async ({ folderOf }) => {
      await rm(join(folderOf(csr), 'cert.pem'));
      await mkdir(join(folderOf(csr), 'cert.pem'));
    },
    'a file in place of its folder (ENOTDIR)': async ({ folderOf }) => {
      await rm(folderOf(csr), { recursive: true });
      await writeFile(folderOf(csr), '');
    },
    'a file in place of all (ENOTDIR)': async ({ directory }) => {
      await rm(directory, { recursive: true });
      await writeFile(directory, 'a file');
    },
    'links that lead in a circle (ELOOP)': async ({ folderOf }) => {
      await rm(folderOf(csr), { recursive: true });
      await symlink(folderOf(csr), folderOf(csr));
    },
    ...Object.fromEntries(
      ['EACCES', 'EIO', 'ESTALE', 'EMFILE', 'ENFILE'].map(code => [
        `the system's ${code}`,
        async (_: OpenedFile, t: TestContext) =>
          failCalls(t, 'readFile', code, path => String(path).endsWith('cert.pem')),
      ]),
    ),
  };

  for (const [what, hinder] of Object.entries(obstacles))
    test(`is unavailable, and not damaged, by ${what}; it says so once, and when it can be read again`, async t => {
      await using opened = await openFile();
      const { storage, faults, log } = opened;
      await storage.put(csr, chain, issuedBy);
      await hinder(opened, t);
      const upkeep = upkeepOf(storage);
      for (const act of [
        () => storage.get(csr),
        () => storage.get(csr),
        () => upkeep.read(csr.digest),
        () => upkeep.expire(csr.digest, Number.POSITIVE_INFINITY),
        () => upkeep.remove(csr.digest, splitChain(chain)[0] ?? ''),
      ])
        await assert.rejects(act(), { code: 'unavailable' });
      const said = log.lines.map(({ level, msg }) => `${level} ${msg}`);
      assert.deepEqual(said, ['40 the storage cannot be read', '40 the storage cannot be written']);
      const [code = ''] = /E[A-Z]+/.exec(what) ?? [];
      assert.match(
        faults.notes().join(),
        new RegExp(`^storage "files" cannot be read: directory /.*/storage: ${code}`),
      );

      t.mock.restoreAll();
      syncBuiltinESMExports();
      await rm(opened.directory, { recursive: true });
      assert.equal(await storage.get(csr), undefined);
      assert.equal(log.lines.at(-1)?.msg, 'the storage can be read again');
      await storage.put(csr, chain, issuedBy);
      assert.deepEqual(faults.notes(), []);
      assert.equal((await storage.get(csr))?.chain, chain);
    });

  test('hands out the good one of two entries for the same CSR where the other cannot be read', async () => {
    await using opened = await openFile();
    await mkdir(join(opened.folderOf(csr), 'cert.pem'), { recursive: true });
    const crlf = csrPem.replaceAll('\n', '\r\n');
    await writeAsMacen(opened.directory, crlf, chain);
    assert.equal((await opened.storage.get(readCsr(Buffer.from(crlf))))?.chain, chain);
    await assert.rejects(opened.storage.get(csr), { code: 'unavailable' });
  });

  test('lists no entries of a file that is called like their folder, and fails where it is no folder itself', async () => {
    await using opened = await openFile();
    await mkdir(opened.directory);
    await writeFile(join(opened.directory, '00'), '');
    const { keys } = upkeepOf(opened.storage);
    assert.deepEqual(await keys(''), { keys: [], cursor: '1' });
    await rm(opened.directory, { recursive: true });
    await writeFile(opened.directory, '');
    await assert.rejects(keys(''), { code: 'unavailable' });
  });

  test('is unavailable where it cannot be written, says so once, and when it can be again', async t => {
    await using opened = await openFile();
    const { storage, faults, log } = opened;
    failCalls(t, 'rename', 'ENOSPC');
    for (let time = 0; time < 2; time++)
      await assert.rejects(storage.put(csr, chain, issuedBy), { code: 'unavailable' });
    assert.deepEqual(await readdir(opened.folderOf(csr)), []);
    assert.match(
      faults.notes().join(),
      /^storage "files" cannot be written: directory \/.*\/storage: ENOSPC.*: make room there, or name another place/,
    );
    t.mock.restoreAll();
    syncBuiltinESMExports();
    await storage.put(csr, chain, issuedBy);
    const said = log.lines.map(({ msg }) => msg);
    assert.deepEqual(said, ['the storage cannot be written', 'the storage can be written again']);
    assert.deepEqual(faults.notes(), []);
  });

  test('gives a put up that hangs, and writes nothing once it goes on', async t => {
    await using opened = await openFile();
    const { storage, folderOf } = opened;
    const held = Promise.withResolvers<void>();
    const reached = holdCall(t, 'rename', held.promise);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const put = storage.put(csr, chain, issuedBy);
    await reached; // csr.pem is about to be there
    t.mock.timers.tick(10_000);
    await assert.rejects(put, { code: 'unavailable' });
    await assert.rejects(storage.get(csr), { code: 'unavailable' });
    held.resolve();
    t.mock.timers.reset();
    const isFree = () =>
      storage.get(csr).then(
        () => true,
        () => false,
      );
    await waitUntil('the storage to answer', isFree);
    assert.deepEqual(await readdir(folderOf(csr)), ['csr.pem']);
  });

  test('leaves nothing but its three files behind, readable for all', async () => {
    await using opened = await openFile();
    await Promise.all(
      [opened.storage, opened.other, opened.storage].map(one => one.put(csr, chain, issuedBy)),
    );
    assert.deepEqual((await readdir(dirname(opened.folderOf(csr)))).length, 1);
    assert.deepEqual((await readdir(opened.folderOf(csr))).sort(), ['cert.pem', 'csr.pem', 'quarry.json']);
    assert.equal((await stat(join(opened.folderOf(csr), 'cert.pem'))).mode & 0o444, 0o444);
  });
});

suite('redis storage', () => {
  test("lets an entry go with its certificate's end", async () => {
    await using opened = await openInRedis();
    await opened.storage.put(csr, chain, issuedBy);
    const { notAfter } = readCertificate(leaf);
    assert.equal(await redis[0].expiretime(opened.keyOf(csr)), notAfter / 1000);
  });

  test('gets all entries that are wanted at once by one command, and each asker gets its own', async () => {
    await using opened = await openInRedis();
    const csrs = ['a', 'b', 'c'].map(name =>
      readCsr(Buffer.from(makeCsr({ names: `DNS:${name}.example.org` }))),
    );
    await opened.storage.put(csrs[0] ?? csr, chain, issuedBy);
    await opened.storage.put(csrs[2] ?? csr, later, issuedBy);
    await redis[0].config('RESETSTAT');
    const found = await Promise.all(csrs.map(one => opened.storage.get(one)));
    assert.deepEqual(
      found.map(stored => stored?.chain),
      [chain, undefined, later],
    );
    assert.match(await redis[0].info('commandstats'), /cmdstat_mget:calls=1,/);
    assert.equal((await opened.storage.get(csrs[2] ?? csr))?.chain, later);
  });

  test('fails for all who wait for an entry when Redis cannot be asked', async () => {
    const away = openRedis({ url: 'redis://127.0.0.1:1' }, 'impatient', quietLog);
    const config = { name: 'shared', renewWithin: 14, renewAhead: false, keepExpired: 0 };
    const parts = { store: { redis: away, prefix: 'x' }, clock: turnedClock(defaultNow), log: quietLog };
    const storage = openRedisStorage(config, { ...parts, ...openStoring(parts) });
    const asked = await Promise.allSettled([storage.get(csr), storage.get(csr)]);
    closeRedis(away);
    assert.deepEqual(
      asked.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
  });

  test('takes a value that is no entry for absent, and says so', async () => {
    for (const value of ['{"csr": "…', 'null', '[]', '7', '{"csr": 7, "chain": null}', '\u0000\u0001']) {
      await using opened = await openInRedis();
      await redis[0].set(opened.keyOf(csr), value);
      assert.equal(await opened.storage.get(csr), undefined);
      assert.equal(opened.log.lines.length, 1, value);
    }
  });

  test('keeps the entries of two storages apart', async () => {
    await using opened = await openInRedis();
    await opened.storage.put(csr, chain, issuedBy);
    await using another = await openInRedis();
    assert.equal(await another.storage.get(csr), undefined);
  });
});
