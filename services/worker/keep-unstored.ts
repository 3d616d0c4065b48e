import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Certificate } from '../../shared/pki/certificate.ts';
import type { CsrText } from '../../shared/pki/csr.ts';
import { storageSubject, storeKept, type UnstoredEntry } from '../../shared/renewal/unstored.ts';
import type { IssuedBy, Storage } from '../../shared/storage/storage.ts';
import type { SignJobParts } from './sign-job-parts.ts';

type Run = { parts: SignJobParts; log: Log };

/**
 * A certificate that its storage does not take is kept in Redis, so that the next post of the same CSR gets
 * it. What fails here is logged, no more: this client gets its certificate.
 */
export async function keepUnstored(
  { parts, csr, log }: Run & { csr: CsrText },
  storage: string,
  { chain, issuedBy, leaf }: { chain: string; issuedBy: IssuedBy; leaf: Certificate },
  error: unknown,
): Promise<void> {
  const reason = describeError(error);
  const names = leaf.identifiers.map(({ value }) => value);
  log.error({ storage, names, reason }, 'the certificate cannot be stored');
  await parts.unstored.keep(storage, { csr, chain, leaf, issuedBy }).catch(failure => {
    log.error({ storage, reason: describeError(failure) }, 'the certificate cannot be kept either');
  });
  const detail = `storage "${storage}" does not take certificates: ${reason}`;
  await parts.notices.notify({ kind: 'storage-failed', subject: storageSubject(storage), names: [], detail });
}

/** Tries again to store what was kept; it is handed out whether or not that works. */
export async function tryToStore({ parts, log }: Run, storage: Storage, entry: UnstoredEntry): Promise<void> {
  try {
    await storeKept(parts, storage, entry);
    await parts.notices.ended(storageSubject(storage.name), ['storage-failed']);
  } catch (error) {
    const reason = describeError(error);
    log.info({ storage: storage.name, reason }, 'a kept certificate cannot be stored yet');
  }
}
