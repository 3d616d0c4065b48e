import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeAtomically } from '../base/atomic-file.ts';
import type { Clock, Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import { adviseOnFile } from '../base/file-error.ts';
import { LONGEST_READ, LONGEST_WRITE } from '../base/file-threads.ts';
import { isFileFault, type Storing } from '../base/storage-faults.ts';
import type { CsrText } from '../pki/csr.ts';
import {
  fileSystemType,
  isLocalType,
  lookAt,
  lookAtOnce,
  openFindTogether,
  type TypeOf,
} from './entry-looks.ts';
import { fingerprintOf } from './entry-record.ts';
import { formatRecordFile, openFileUpkeep, RECORD_FILE, readRecordFile } from './file-upkeep.ts';
import { type IssuedBy, isFresh, type Storage, type StoredCertificate } from './storage.ts';
import type { KeepingConfig } from './storage-section.ts';
import { openReadEntries, readEntry } from './stored-entry.ts';

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
 *
 * What was read before is looked at by `stat` for each post: at once in a local file system, as a thread
 * costs ten times as much, and by a thread in any other, as its server may not answer. Which it is, is asked
 * whenever an entry is read, as file systems are mounted over each other.
 */
export function openFileStorage(
  config: { name: string; directory: string } & Pick<KeepingConfig, 'renewWithin' | 'renewAhead'>,
  parts: Storing & { clock: Clock; log: Log; typeOf?: TypeOf },
): Storage {
  const { name, directory } = config;
  const { clock, log, threads, faults, typeOf = fileSystemType } = parts;
  const local = openReadEntries();
  const distant = openReadEntries();
  const gate = threads.of(directory);
  // Not by `join`, which takes as long as a look.
  const entry = (digest: string) => `${directory}/${digest.slice(0, 2)}/${digest.slice(2)}`;

  /** The system does not always say where. */
  const located = (error: unknown) =>
    new Error(`directory ${directory}: ${describeError(error)}${adviseOnFile(error)}`);

  /** What was read before and can be looked at at once. */
  const recall = openFindTogether((digest): StoredCertificate | undefined => {
    if (gate.isHanging()) return undefined;
    return local.recall(digest, () => lookAtOnce(entry(digest))?.mark);
  });

  async function look(csr: CsrText, digest: string, folder: string): Promise<StoredCertificate | undefined> {
    const now = clock.now();
    const seen = await lookAt(folder);
    if (!seen) return undefined;
    const known = distant.recall(digest, () => seen.mark);
    if (known) return known;
    // The record first: of a certificate that replaces another it is written last, so that one that is read
    // with it is never older.
    const record = await readRecordFile(folder);
    const chain = await readIfThere(join(folder, 'cert.pem'));
    const csrPem = await readIfThere(join(folder, 'csr.pem'));
    // One without the other: its writer was stopped in between.
    if (chain === undefined || csrPem === undefined) return undefined;
    const first = readEntry(csr, { csr: csrPem, chain, record });
    // Of a certificate that came in between, the record has come since.
    const stored = first.issuedBy
      ? first
      : readEntry(csr, { csr: csrPem, chain, record: await readRecordFile(folder) });
    if (now - seen.changed > SETTLED_AFTER) {
      const isLocal = isLocalType(await typeOf(join(folder, 'cert.pem')));
      (isLocal ? local : distant).remember(digest, seen.mark, stored);
    }
    return stored;
  }

  async function read(csr: CsrText, digest: string, limit: number): Promise<StoredCertificate | undefined> {
    const folder = entry(digest);
    try {
      const known = local.has(digest) ? await recall(digest) : undefined;
      const stored = known ?? (await gate.inTime(() => look(csr, digest, folder), { limit }));
      faults.worked(name, 'read', digest);
      return stored && isFresh(stored, config, clock.now()) ? stored : undefined;
    } catch (error) {
      if (isFileFault(error)) throw faults.failed(name, 'read', digest, located(error));
      log.warn(
        { storage: name, folder, reason: describeError(error) },
        'stored entry is damaged, taken as absent',
      );
      return undefined;
    }
  }

  /** @param signal fires when nobody waits any more: what came later may be there by now */
  async function write(
    folder: string,
    csr: CsrText,
    chain: string,
    issuedBy: IssuedBy,
    signal: AbortSignal,
  ): Promise<void> {
    const record = formatRecordFile({ certificate: fingerprintOf(chain), issuedBy });
    const put = (file: string, text: string) => writeAtomically(join(folder, file), text, { signal });
    await mkdir(folder, { recursive: true });
    await put('csr.pem', csr.pem);
    // The first certificate never lies there without its record. A later one comes before it: who changes a
    // record meanwhile looks for that.
    const isFirst = !(await lookAt(folder));
    if (isFirst) await put(RECORD_FILE, record);
    await put('cert.pem', chain);
    if (!isFirst) await put(RECORD_FILE, record);
  }

  /** The folder may be gone in between, where the expired entry was removed. */
  async function writeAgain(...what: Parameters<typeof write>): Promise<void> {
    try {
      await write(...what);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await write(...what);
    }
  }

  return {
    name,
    async get(csr, isGood = () => true, longest = LONGEST_READ) {
      let unread: unknown;
      for (const digest of new Set([csr.digest, csr.postedDigest])) {
        const stored = await read(csr, digest, Math.min(longest, LONGEST_READ)).catch(error => {
          unread = error;
        });
        if (stored && isGood(stored)) return stored;
      }
      if (unread) throw unread;
      return undefined;
    },
    async put(csr, chain, issuedBy) {
      const folder = entry(csr.digest);
      try {
        const act = (signal: AbortSignal) => writeAgain(folder, csr, chain, issuedBy, signal);
        await gate.inTime(act, { limit: LONGEST_WRITE });
      } catch (error) {
        throw faults.failed(name, 'write', csr.digest, located(error));
      }
      faults.worked(name, 'write');
    },
    upkeep: openFileUpkeep({ name, directory, entry, located }, { log, gate, faults }),
  };
}
