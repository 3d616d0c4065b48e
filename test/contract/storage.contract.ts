import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decodePem, readCertificate, splitChain } from '../../shared/pki/certificate.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import type { Storage, Upkeep } from '../../shared/storage/storage.ts';
import { ecKey, makeCertificate, makeCsr, rsaKey } from '../shared/pki/openssl-csr.ts';
import type { keptLog } from '../support/kept-log.ts';
import type { TurnedClock } from '../support/turned-clock.ts';

const day = 24 * 3_600_000;

export const csrPem = makeCsr({ names: 'DNS:example.org' });
export const csr = readCsr(Buffer.from(csrPem));
const issuer = makeCertificate({ key: ecKey('P-384') });
/** As the worker keeps a chain: leaf first, one blank line between certificates. */
export const chainOf = (leaf: string) => `${leaf.trim()}\n\n${issuer}`;
export const leaf = makeCertificate({ days: 90 });
export const chain = chainOf(leaf);
const newerChain = chainOf(makeCertificate({ days: 91 }));
export const issuedBy = { account: 'default', directory: 'https://ca.example/directory' };
const otherCa = { account: 'zerossl', directory: 'https://other.example/directory' };

/** One storage, seen by two processes, at a place of its own. */
export type OpenedStorage = AsyncDisposable & {
  storage: Storage;
  /** As another process has opened it. */
  other: Storage;
  clock: TurnedClock;
  log: ReturnType<typeof keptLog>;
  /** Writes over what is kept for the CSR. */
  damage(csr: CsrText, entry: { csr?: string; chain?: string; record?: unknown }): Promise<void>;
};

export type StorageOpener = (options: { renewWithin: number; now: number }) => Promise<OpenedStorage>;

/** What every kind of storage that keeps anything has to do (shared/storage/storage.ts). */
export function storageContract(kind: string, openStorage: StorageOpener): void {
  const now = readCertificate(leaf).notBefore;
  const open = (options: { renewWithin?: number } = {}) => openStorage({ renewWithin: 14, now, ...options });

  suite(`${kind} storage`, () => {
    test('knows nothing at first, and says nothing of it', async () => {
      await using opened = await open();
      assert.equal(await opened.storage.get(csr), undefined);
      assert.deepEqual(opened.log.lines, []);
    });

    test('gives back what was put, with what the leaf says, to every process', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      for (const storage of [opened.storage, opened.other]) {
        assert.deepEqual(await storage.get(csr), { chain, leaf: readCertificate(leaf), issuedBy });
      }
    });

    test('has nothing for another CSR, even of the same key', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      for (const other of [
        makeCsr({ names: 'DNS:www.example.org' }),
        makeCsr({ key: rsaKey(), names: 'DNS:a.org' }),
      ]) {
        assert.equal(await opened.storage.get(readCsr(Buffer.from(other))), undefined);
      }
    });

    for (const [what, posted] of [
      ['CRLF line ends', csrPem.replaceAll('\n', '\r\n')],
      ['CR line ends', csrPem.replaceAll('\n', '\r')],
      ['text around it', `Certificate Request:\n  Data: …\n${csrPem}posted by curl\n`],
      ['blank lines and spaces', `\n\n${csrPem.replaceAll('\n', ' \n\n')}\n\n`],
      ['no newline at its end', csrPem.trimEnd()],
      ['other line lengths', csrPem.replace(/(?<=[^-]{20})\n(?=[^-])/g, '')],
      ['the older label', csrPem.replaceAll(' CERTIFICATE', ' NEW CERTIFICATE')],
    ] as const)
      test(`hits the same entry for the CSR with ${what}, whichever was first`, async () => {
        const spelt = readCsr(Buffer.from(posted));
        assert.notEqual(spelt.postedDigest, csr.postedDigest);
        await using opened = await open();
        await opened.storage.put(csr, chain, issuedBy);
        assert.equal((await opened.storage.get(spelt))?.chain, chain);
        await opened.storage.put(spelt, newerChain, issuedBy);
        assert.equal((await opened.storage.get(csr))?.chain, newerChain);
      });

    test('keeps the newer chain in place of an older one', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      await opened.other.put(csr, newerChain, issuedBy);
      assert.equal((await opened.storage.get(csr))?.chain, newerChain);
    });

    test('sees at once that what it has handed out was replaced, removed and put again by another process', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      opened.clock.turn(day); // past the time in which nothing of it would be remembered
      const get = async () => (await opened.storage.get(csr))?.chain;
      assert.deepEqual([await get(), await get()], [chain, chain]);
      await opened.other.put(csr, newerChain, issuedBy);
      assert.deepEqual([await get(), await get()], [newerChain, newerChain]);
      const upkeep = upkeepOf(opened.other);
      await upkeep.remove(upkeep.keyOf(csr), splitChain(newerChain)[0] ?? '');
      assert.equal(await get(), undefined);
      await opened.other.put(csr, chain, issuedBy);
      assert.deepEqual([await get(), await get()], [chain, chain]);
    });

    test('says who issued what it hands out, and what it reads for its upkeep', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      await opened.other.put(csr, newerChain, otherCa);
      const upkeep = upkeepOf(opened.storage);
      assert.deepEqual((await opened.storage.get(csr))?.issuedBy, otherCa);
      assert.deepEqual((await upkeep.read(upkeep.keyOf(csr)))?.issuedBy, otherCa);
      await opened.other.put(csr, chain, issuedBy);
      assert.deepEqual((await opened.storage.get(csr))?.issuedBy, issuedBy);
    });

    test('hands out only what its caller takes for good', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      const of = (account: string) => opened.storage.get(csr, stored => stored.issuedBy?.account === account);
      assert.equal((await of('default'))?.chain, chain);
      assert.equal(await of('zerossl'), undefined);
      assert.deepEqual(opened.log.lines, []);
    });

    test('takes the record of another certificate for none, and a damaged one', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      await opened.damage(csr, { chain: newerChain });
      const { leaf: newerLeaf } = (await opened.storage.get(csr)) ?? {};
      assert.equal(newerLeaf?.notAfter, readCertificate(newerChain).notAfter);
      assert.deepEqual(await opened.storage.get(csr), { chain: newerChain, leaf: newerLeaf });
      for (const record of [null, 7, 'text', [], { account: 'default' }, { certificate: 7 }]) {
        await opened.storage.put(csr, chain, issuedBy);
        await opened.damage(csr, { record });
        assert.deepEqual(await opened.other.get(csr), { chain, leaf: readCertificate(leaf) });
      }
      assert.deepEqual(opened.log.lines, []);
    });

    for (const [what, entry] of [
      ['csr.pem is cut short', { csr: csrPem.slice(0, 200) }],
      ['csr.pem is empty', { csr: '' }],
      ['csr.pem is binary rubbish', { csr: '\u0000\u0001\ufffd\u0003' }],
      ["csr.pem is another CSR's", { csr: makeCsr({ names: 'DNS:www.example.org' }) }],
      ['cert.pem is cut short', { chain: chain.slice(0, 200) }],
      ['cert.pem is cut in its second certificate', { chain: chain.slice(0, -100) }],
      ['cert.pem is empty', { chain: '' }],
      ['cert.pem is binary rubbish', { chain: '\u0000\u0001\ufffd\u0003' }],
      [
        'cert.pem holds base64 that is no certificate',
        { chain: leaf.replace(/\n[^-]{20}/, '\nAAAAAAAAAAAAAAAAAAAA') },
      ],
      ['cert.pem is for another key', { chain: chainOf(makeCertificate({ key: rsaKey() })) }],
    ] as const)
      test(`takes an entry whose ${what} for absent, says so, and replaces it`, async () => {
        await using opened = await open();
        await opened.storage.put(csr, chain, issuedBy);
        await opened.damage(csr, entry);
        assert.equal(await opened.storage.get(csr), undefined);
        const [warning, ...more] = opened.log.lines;
        const { level, storage, msg, reason } = warning ?? {};
        assert.deepEqual(
          [level, storage, msg],
          [40, opened.storage.name, 'stored entry is damaged, taken as absent'],
        );
        assert.ok(typeof reason === 'string' && !reason.includes('\n') && reason.length > 5, String(reason));
        assert.deepEqual(more, []);
        await opened.storage.put(csr, chain, issuedBy);
        assert.equal((await opened.storage.get(csr))?.chain, chain);
      });

    test('hands a certificate out until renew-within before its end', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      opened.clock.turn(76 * day - 1_000);
      assert.equal((await opened.storage.get(csr))?.chain, chain);
      opened.clock.turn(1_001);
      assert.equal(await opened.storage.get(csr), undefined);
      opened.clock.turn(30 * day);
      assert.equal(await opened.storage.get(csr), undefined);
      assert.deepEqual(opened.log.lines, []);
    });

    test('hands a short-lived certificate out until half of its life is over', async () => {
      const short = makeCertificate({ days: 6 });
      const { notBefore } = readCertificate(short);
      await using opened = await openStorage({ renewWithin: 14, now: notBefore });
      await opened.storage.put(csr, chainOf(short), issuedBy);
      opened.clock.turn(3 * day - 1_000);
      assert.ok(await opened.storage.get(csr));
      opened.clock.turn(2_000);
      assert.equal(await opened.storage.get(csr), undefined);
    });

    test('lists every entry, and reads it whether fresh or not', async () => {
      await using opened = await open();
      const upkeep = upkeepOf(opened.storage);
      const csrs = [csr, readCsr(Buffer.from(makeCsr({ names: 'DNS:b.example.org' })))];
      for (const one of csrs) await opened.storage.put(one, chain, issuedBy);
      opened.clock.turn(100 * day);
      assert.deepEqual((await allKeys(upkeep)).sort(), csrs.map(upkeep.keyOf).sort());
      assert.deepEqual(await upkeep.read(upkeep.keyOf(csr)), {
        csr: readCsr(Buffer.from(csr.pem)),
        chain,
        leaf: readCertificate(leaf),
        der: decodePem(leaf, ['CERTIFICATE']),
        issuedBy,
      });
      assert.equal(await upkeep.read('0'.repeat(96)), undefined);
    });

    test('says that a damaged entry is damaged when it is read for its upkeep', async () => {
      await using opened = await open();
      await opened.storage.put(csr, chain, issuedBy);
      await opened.damage(csr, { chain: 'damaged' });
      const upkeep = upkeepOf(opened.storage);
      assert.equal(await upkeep.read(upkeep.keyOf(csr)), undefined);
      assert.equal(opened.log.lines.length, 1);
    });

    test('removes what has ended before a time, and tells the end of what it leaves', async () => {
      await using opened = await open();
      const upkeep = upkeepOf(opened.storage);
      const key = upkeep.keyOf(csr);
      const { notAfter } = readCertificate(leaf);
      assert.equal(await upkeep.expire(key, notAfter + 1), undefined, 'nothing is there');
      await opened.storage.put(csr, chain, issuedBy);
      assert.equal(await upkeep.expire(key, notAfter), notAfter);
      assert.equal((await upkeep.read(key))?.chain, chain);
      assert.equal(await upkeep.expire(key, notAfter + 1), undefined);
      assert.equal(await upkeep.read(key), undefined);
      assert.deepEqual(await allKeys(upkeep), []);
      await opened.storage.put(csr, newerChain, issuedBy);
      assert.equal((await opened.storage.get(csr))?.chain, newerChain);
    });

    test('removes the entry of one certificate, and leaves that of its successor', async () => {
      await using opened = await open();
      const upkeep = upkeepOf(opened.storage);
      const key = upkeep.keyOf(csr);
      const [certificate = '', newer = ''] = [chain, newerChain].map(text => splitChain(text)[0] ?? '');
      assert.equal(await upkeep.remove(key, certificate), undefined, 'nothing is there');
      await opened.storage.put(csr, newerChain, issuedBy);
      assert.equal(await upkeep.remove(key, certificate), undefined);
      assert.equal((await opened.other.get(csr))?.chain, newerChain);
      const removed = await upkeep.remove(key, newer);
      assert.deepEqual([removed?.chain, removed?.csr.digest], [newerChain, csr.digest]);
      assert.equal(await opened.other.get(csr), undefined);
      assert.deepEqual([await upkeep.read(key), await allKeys(upkeep)], [undefined, []]);
      assert.deepEqual(opened.log.lines, []);
    });

    test('hands a certificate out no longer from a time that is set for it, until another is put', async () => {
      await using opened = await open();
      const upkeep = upkeepOf(opened.storage);
      const key = upkeep.keyOf(csr);
      assert.equal(await upkeep.setRenewFrom(key, chain, now), false, 'nothing is there');
      await opened.storage.put(csr, chain, issuedBy);
      assert.equal(await upkeep.setRenewFrom(key, chain, now + day), true);
      opened.clock.turn(day - 1);
      assert.equal((await opened.other.get(csr))?.chain, chain);
      opened.clock.turn(1);
      assert.equal(await opened.other.get(csr), undefined);
      const kept = await upkeep.read(key);
      assert.deepEqual([kept?.chain, kept?.issuedBy, kept?.renewFrom], [chain, issuedBy, now + day]);
      assert.equal(await upkeep.setRenewFrom(key, chain, undefined), true);
      assert.deepEqual(await opened.other.get(csr), { chain, leaf: readCertificate(leaf), issuedBy });
      await upkeep.setRenewFrom(key, chain, now);
      await opened.storage.put(csr, newerChain, otherCa);
      const newer = await opened.other.get(csr);
      assert.deepEqual([newer?.chain, newer?.issuedBy, newer?.renewFrom], [newerChain, otherCa, undefined]);
    });

    test('leaves a newer certificate as it is when a time is set for its predecessor', async () => {
      await using opened = await open();
      const upkeep = upkeepOf(opened.storage);
      const key = upkeep.keyOf(csr);
      await opened.storage.put(csr, newerChain, otherCa);
      assert.equal(await upkeep.setRenewFrom(key, chain, now), false);
      assert.deepEqual((await opened.other.get(csr))?.issuedBy, otherCa);
      for (let round = 0; round < 20; round++) {
        await opened.storage.put(csr, chain, issuedBy);
        await Promise.all([upkeep.setRenewFrom(key, chain, now), opened.other.put(csr, newerChain, otherCa)]);
        const found = await opened.storage.get(csr);
        assert.deepEqual([found?.chain, found?.issuedBy], [newerChain, otherCa], `round ${round}`);
      }
      assert.deepEqual(opened.log.lines, []);
    });

    test('keeps what is put while the expired entry is being removed', async () => {
      await using opened = await open();
      const upkeep = upkeepOf(opened.storage);
      const { notAfter } = readCertificate(leaf);
      for (let round = 0; round < 20; round++) {
        await opened.storage.put(csr, chain, issuedBy);
        await Promise.all([
          upkeep.expire(upkeep.keyOf(csr), notAfter + 1),
          opened.other.put(csr, newerChain, issuedBy),
        ]);
        assert.equal((await upkeep.read(upkeep.keyOf(csr)))?.chain, newerChain, `round ${round}`);
      }
    });

    test('never shows a reader anything but nothing, the old or the new while two write at once', async () => {
      await using opened = await open();
      let writing = true;
      const write = async (storage: Storage, text: string) => {
        for (let round = 0; round < 10; round++) await storage.put(csr, text, issuedBy);
      };
      const writers = Promise.all([write(opened.storage, chain), write(opened.other, newerChain)]).finally(
        () => {
          writing = false;
        },
      );
      while (writing) {
        const seen = await opened.storage.get(csr);
        if (seen) assert.ok([chain, newerChain].includes(seen.chain));
      }
      await writers;
      assert.ok([chain, newerChain].includes((await opened.storage.get(csr))?.chain ?? ''));
      assert.deepEqual(opened.log.lines, []);
    });
  });
}

export function upkeepOf({ upkeep }: Storage): Upkeep {
  assert.ok(upkeep);
  return upkeep;
}

async function allKeys(upkeep: Upkeep): Promise<string[]> {
  const all: string[] = [];
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const part = await upkeep.keys(cursor);
    all.push(...part.keys);
    cursor = part.cursor;
  }
  return all;
}
