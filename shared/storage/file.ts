import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeAtomically } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { CsrText } from '../pki/csr.ts';
import { isFresh, type Storage, type StoredCertificate } from './storage.ts';
import { openEntryReader } from './stored-entry.ts';

/**
 * macen's layout: the SHA-384 of the CSR in hex, two characters, the rest, and there `csr.pem` and `cert.pem`. macen
 * hashes the bytes as they were posted; Quarry writes under the hash of the CSR's canonical PEM, which is the same for
 * what openssl writes, and looks under both.
 */
export function openFileStorage(
  { name, directory, renewWithin }: { name: string; directory: string; renewWithin: number },
  { clock, log }: { clock: Clock; log: Log },
): Storage {
  const readEntry = openEntryReader();
  const entry = (digest: string) => join(directory, digest.slice(0, 2), digest.slice(2));

  async function read(csr: CsrText, digest: string): Promise<StoredCertificate | undefined> {
    const folder = entry(digest);
    try {
      const [csrPem, chain] = await Promise.all(['csr.pem', 'cert.pem'].map(file => readIfThere(join(folder, file))));
      // One without the other: its writer was stopped in between.
      if (csrPem === undefined || chain === undefined) return undefined;
      const stored = readEntry(csr, csrPem, chain);
      return isFresh(stored.leaf, renewWithin, clock.now()) ? stored : undefined;
    } catch (error) {
      log.warn({ storage: name, folder, reason: describeError(error) }, 'stored entry is damaged, taken as absent');
      return undefined;
    }
  }

  return {
    name,
    async get(csr) {
      for (const digest of new Set([csr.digest, csr.postedDigest])) {
        const stored = await read(csr, digest);
        if (stored) return stored;
      }
      return undefined;
    },
    async put(csr, chain) {
      const folder = entry(csr.digest);
      await mkdir(folder, { recursive: true });
      await writeAtomically(join(folder, 'csr.pem'), csr.pem);
      await writeAtomically(join(folder, 'cert.pem'), chain);
    },
  };
}
