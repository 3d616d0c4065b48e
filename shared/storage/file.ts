import { type BigIntStats, stat } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { atMost } from '../base/at-most.ts';
import { readIfThere, writeAtomically } from '../base/atomic-file.ts';
import { type Clock, describeError, type Log } from '../base/basics.ts';
import type { CsrText } from '../pki/csr.ts';
import { fingerprintOf } from './entry-record.ts';
import { formatRecordFile, openFileUpkeep, RECORD_FILE, readRecordFile } from './file-upkeep.ts';
import { type IssuedBy, isFresh, type Storage, type StoredCertificate } from './storage.ts';
import type { KeepingConfig } from './storage-section.ts';
import { openReadEntries, readEntry } from './stored-entry.ts';

/** Each takes one of the four threads that all of the process shares. */
const MOST_LOOKS = 3;
/** Milliseconds; a file system that takes longer hangs, as one on the network whose server is gone. */
const LONGEST_LOOK = 5_000;
const HANGS = 'the file system does not answer';
/**
 * Milliseconds that a file has to lie still before its times tell it from a later one: some file systems
 * write times in steps of two seconds.
 */
const SETTLED_AFTER = 2_500;

/**
 * macen's layout: the SHA-384 of the CSR in hex, two characters, the rest, and there `csr.pem` and
 * `cert.pem`. macen hashes the bytes as they were posted; Quarry writes under the hash of the CSR's canonical
 * PEM, which is the same for what openssl writes, and looks under both. Beside them lies `quarry.json`, which
 * macen passes over: what Quarry knows of the certificate that it names. Where macen has written another
 * certificate since, it counts as absent.
 */
export function openFileStorage(
  config: { name: string; directory: string } & Pick<KeepingConfig, 'renewWithin' | 'renewAhead'>,
  { clock, log }: { clock: Clock; log: Log },
): Storage {
  const { name, directory } = config;
  const entries = openReadEntries();
  const inTime = openLooks();
  const entry = (digest: string) => join(directory, digest.slice(0, 2), digest.slice(2));

  async function look(csr: CsrText, digest: string, folder: string): Promise<StoredCertificate | undefined> {
    const mark = await markOf(folder, clock.now());
    if (!mark) return undefined;
    const known = entries.recall(digest, mark.text);
    if (known) return known;
    // The record first: it is written last, so that a certificate that is read with it is never older.
    const record = await readRecordFile(folder);
    const chain = await readIfThere(join(folder, 'cert.pem'));
    const csrPem = await readIfThere(join(folder, 'csr.pem'));
    // One without the other: its writer was stopped in between.
    if (chain === undefined || csrPem === undefined) return undefined;
    const stored = readEntry(csr, { csr: csrPem, chain, record });
    if (mark.isSettled) entries.remember(digest, mark.text, stored);
    return stored;
  }

  async function read(csr: CsrText, digest: string): Promise<StoredCertificate | undefined> {
    const folder = entry(digest);
    try {
      const stored = await inTime(() => look(csr, digest, folder));
      return stored && isFresh(stored, config, clock.now()) ? stored : undefined;
    } catch (error) {
      log.warn(
        { storage: name, folder, reason: describeError(error) },
        'stored entry is damaged, taken as absent',
      );
      return undefined;
    }
  }

  async function write(folder: string, csr: CsrText, chain: string, issuedBy: IssuedBy): Promise<void> {
    const record = formatRecordFile({ certificate: fingerprintOf(chain), issuedBy });
    await mkdir(folder, { recursive: true });
    await writeAtomically(join(folder, 'csr.pem'), csr.pem);
    await writeAtomically(join(folder, 'cert.pem'), chain);
    await writeAtomically(join(folder, RECORD_FILE), record);
  }

  return {
    name,
    async get(csr, isGood = () => true) {
      for (const digest of new Set([csr.digest, csr.postedDigest])) {
        const stored = await read(csr, digest);
        if (stored && isGood(stored)) return stored;
      }
      return undefined;
    },
    async put(csr, chain, issuedBy) {
      const folder = entry(csr.digest);
      try {
        await write(folder, csr, chain, issuedBy);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        await write(folder, csr, chain, issuedBy); // the expired entry was removed in between
      }
    },
    upkeep: openFileUpkeep({ name, directory, entry }, log),
  };
}

/**
 * Runs looks at a file system, a few at once. Once one has hung, it and all others fail, and so does every
 * look that comes before it ends.
 */
function openLooks(): <T>(look: () => Promise<T>) => Promise<T> {
  const inTurn = atMost(MOST_LOOKS);
  const waiting = new Set<(error: Error) => void>();
  let hanging = 0;

  function giveUp() {
    hanging++;
    for (const fail of waiting) fail(new Error(HANGS));
    waiting.clear();
  }

  async function watch<T>(look: () => Promise<T>): Promise<T> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      giveUp();
    }, LONGEST_LOOK);
    try {
      return await look();
    } finally {
      clearTimeout(timer);
      if (isLate) hanging--;
    }
  }

  return <T>(look: () => Promise<T>) =>
    new Promise<T>((resolve, fail) => {
      if (hanging > 0) return fail(new Error(HANGS));
      waiting.add(fail);
      const run = async () => {
        if (waiting.has(fail)) resolve(await watch(look));
      };
      inTurn(run)
        .catch(fail)
        .finally(() => waiting.delete(fail));
    });
}

/**
 * What tells the files of an entry from those that come in their place; `undefined` where there is no
 * certificate. Its CSR is looked at once, as no other can have this place.
 *
 * @param now milliseconds since the epoch
 */
async function markOf(
  folder: string,
  now: number,
): Promise<{ text: string; isSettled: boolean } | undefined> {
  const certificate = await statIfThere(join(folder, 'cert.pem'));
  if (!certificate) return undefined;
  const record = await statIfThere(join(folder, RECORD_FILE));
  const files = record ? [certificate, record] : [certificate];
  const text = files.map(({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`).join();
  return { text, isSettled: files.every(({ ctimeMs }) => now - Number(ctimeMs) > SETTLED_AFTER) };
}

/** `undefined` where there is no such file. */
function statIfThere(path: string): Promise<BigIntStats | undefined> {
  return new Promise((resolve, reject) => {
    stat(path, { bigint: true }, (error, found) => {
      if (error && error.code !== 'ENOENT') reject(error);
      else resolve(found);
    });
  });
}
