import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeAtomically } from '../base/atomic-file.ts';
import { type Clock, describeError, type Log } from '../base/basics.ts';
import type { CsrText } from '../pki/csr.ts';
import { fingerprintOf } from './entry-record.ts';
import { formatRecordFile, openFileUpkeep, RECORD_FILE, readRecordFile } from './file-upkeep.ts';
import { type IssuedBy, isFresh, type Storage, type StoredCertificate } from './storage.ts';
import type { KeepingConfig } from './storage-section.ts';
import { openEntryReader, toStored } from './stored-entry.ts';

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
  const readEntry = openEntryReader();
  const entry = (digest: string) => join(directory, digest.slice(0, 2), digest.slice(2));

  async function read(csr: CsrText, digest: string): Promise<StoredCertificate | undefined> {
    const folder = entry(digest);
    try {
      // The record first: it is written last, so that a certificate that is read with it is never older.
      const record = await readRecordFile(folder);
      const chain = await readIfThere(join(folder, 'cert.pem'));
      // One without the other: its writer was stopped in between.
      if (chain === undefined) return undefined;
      const read = await readEntry(digest, csr, chain, () => readIfThere(join(folder, 'csr.pem')));
      const stored = read && toStored(read, record);
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
