import { describeError } from '../../shared/base/basics.ts';
import type { Certificate } from '../../shared/pki/certificate.ts';
import { storageSubject, storeKept, type UnstoredEntry } from '../../shared/renewal/unstored.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import { type Issued, namesOf, type SignRun } from './job.ts';

/**
 * A certificate that its storage does not take is kept in Redis, so that the next post of the same CSR gets
 * it. What fails here is logged, no more: this client gets its certificate.
 */
export async function keepUnstored(
  { parts, job, csr, log }: SignRun,
  { chain, issuedBy, leaf }: Issued & { leaf: Certificate },
  error: unknown,
): Promise<void> {
  const { storage } = job.data;
  const reason = describeError(error);
  log.error({ storage, names: namesOf(job), reason }, 'the certificate cannot be stored');
  if (!issuedBy) return;
  await parts.unstored.keep(storage, { csr, chain, leaf, issuedBy }).catch(failure => {
    log.error({ storage, reason: describeError(failure) }, 'the certificate cannot be kept either');
  });
  const detail = `storage "${storage}" does not take certificates: ${reason}`;
  await parts.notices.notify({ kind: 'storage-failed', subject: storageSubject(storage), names: [], detail });
}

/** Tries again to store what was kept; it is handed out whether or not that works. */
export async function tryToStore(
  { parts, log }: SignRun,
  storage: Storage,
  entry: UnstoredEntry,
): Promise<void> {
  try {
    await storeKept(parts, storage, entry);
    await parts.notices.ended(storageSubject(storage.name), ['storage-failed']);
  } catch (error) {
    const reason = describeError(error);
    log.info({ storage: storage.name, reason }, 'a kept certificate cannot be stored yet');
  }
}
