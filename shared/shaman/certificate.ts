import { createPublicKey, type KeyObject } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { readIfThere, writeAtomically } from '../base/atomic-file.ts';
import { IssuanceError } from '../base/errors.ts';
import { type Certificate, readCertificate } from '../pki/certificate.ts';
import { saysAccountIsGone } from './account-is-gone.ts';
import { certificateFileOf, certificatePath, type DomainEntry, type ShamanRun } from './run.ts';

export type HeldCertificate = {
  /** PEM, as the CA sent it. */
  chain: string;
  leaf: Certificate;
  /** Whether the CA still knows it. */
  known: boolean;
};

/**
 * The certificate that `certificate_id` names. Where the CA keeps it no longer, the one on disk stands in, as nothing is
 * wrong with it.
 */
export async function fetchCertificate(
  { acme, file, log }: ShamanRun,
  { domain }: DomainEntry,
): Promise<HeldCertificate | undefined> {
  const { name, certificateUrl } = domain;
  if (certificateUrl === undefined) return undefined;
  try {
    return toHeld(await acme.downloadChain(certificateUrl), true);
  } catch (error) {
    if (!(error instanceof IssuanceError) || error.code !== 'gone' || saysAccountIsGone(error)) throw error;
    const chain = await readIfThere(certificatePath(file, name));
    log.warn({ domain: name }, `${name}: the CA no longer has ${certificateUrl}`);
    return chain === undefined ? undefined : toHeld(chain, false);
  }
}

export function toHeld(chain: string, known: boolean): HeldCertificate {
  try {
    return { chain, leaf: readCertificate(chain), known };
  } catch (error) {
    throw new IssuanceError('unexpected', 'the certificate is damaged', { cause: error });
  }
}

/** Why a certificate cannot be used with what `shaman.json` says now, in a few words. */
export function findMismatch(
  { leaf }: HeldCertificate,
  { domain }: DomainEntry,
  key: KeyObject,
): string | undefined {
  if (!leaf.publicKey.equals(createPublicKey(key).export({ type: 'spki', format: 'der' })))
    return 'its key is a new one';
  const missing = domain.identifiers.find(
    ({ type, value }) => !leaf.identifiers.some(one => one.type === type && one.value === value),
  );
  return missing && `${missing.value} is not in it`;
}

/** Writes the certificate where it differs from the file on disk. */
export async function updateCertificateFile(
  { file, log }: ShamanRun,
  { domain: { name } }: DomainEntry,
  chain: string,
): Promise<void> {
  const path = certificatePath(file, name);
  if ((await readIfThere(path)) === chain) return;
  const mode = await stat(path).then(
    found => found.mode & 0o777,
    () => 0o644,
  );
  await writeAtomically(path, chain, mode);
  log.info({ domain: name }, `${name}: wrote ${certificateFileOf(name)}`);
}
