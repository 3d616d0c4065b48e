import { X509Certificate } from 'node:crypto';
import { IssuanceError } from '../../shared/base/errors.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { DirectoriesOf, Issuers } from '../../shared/ca/issuers.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { isSelfSigned } from '../../shared/pki/issuer.ts';
import type { ExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import type { KeptEntry, Storage } from '../../shared/storage/storage.ts';
import { isChainOf } from '../../shared/storage/stored-entry.ts';

/** How many entries are read at once; the event loop is others' too. */
const AT_ONCE = 8;

type Parts = {
  issuers: Issuers;
  storages: ReadonlyMap<string, Storage>;
  expiry: Pick<ExpiryIndex, 'endingAt'>;
};

/**
 * Which of some accounts may have got a certificate, as no CA is to be asked about what anybody can make: it
 * is in a storage, or was signed by who has signed what the accounts got, or at least says that its issuer is
 * of the same organisation. As long as nothing was issued that could tell, it may be any of them, unless it
 * has signed itself.
 *
 * @param pem the certificate, as `splitChain` gives it
 * @returns `isClaimed`: whether only what it says of its issuer speaks for these
 * @throws IssuanceError `unknown` where none can
 */
export type FindIssuing = <One extends Pick<Ca, 'directoryUrl'>>(
  cas: readonly One[],
  pem: string,
  signal: AbortSignal,
) => Promise<{ issuing: One[]; isClaimed: boolean }>;

export function openFindIssuing(parts: Parts): FindIssuing {
  const { issuers } = parts;
  let isNoted = false;

  /** Once, for what was issued before issuers were noted. */
  async function directoriesOf(
    certificate: X509Certificate,
    signal: AbortSignal,
  ): Promise<DirectoriesOf | undefined> {
    const known = await issuers.directoriesOf(certificate);
    if (isNoted || (known && known.signed.length > 0)) return known;
    isNoted = await noteStored(parts, signal);
    return issuers.directoriesOf(certificate);
  }

  return async (cas, pem, signal) => {
    const certificate = new X509Certificate(pem);
    const stored = await findStored(parts, pem);
    const own = isSelfSigned(certificate);
    const directories = stored
      ? { signed: [stored.issuedBy?.directory ?? ''], claimed: [] }
      : own
        ? { signed: [], claimed: [] }
        : await directoriesOf(certificate, signal);
    if (!directories) return { issuing: [...cas], isClaimed: false };
    const isClaimed = directories.signed.length === 0;
    const wanted = isClaimed ? directories.claimed : directories.signed;
    const issuing = cas.filter(({ directoryUrl }) => wanted.some(one => one === directoryUrl || one === ''));
    if (issuing.length > 0) return { issuing, isClaimed };
    const issuer = own ? 'it has signed itself' : `its issuer is ${certificate.issuer.replace(/\n/g, ', ')}`;
    throw new IssuanceError('unknown', `no account here has got this certificate: ${issuer}`);
  };
}

/** @returns its entry, where the index by ends knows of it and its storage can be read */
async function findStored({ storages, expiry }: Parts, pem: string): Promise<KeptEntry | undefined> {
  const { notAfter } = readCertificate(pem);
  for (const { name, upkeep } of storages.values()) {
    for (const key of upkeep ? await expiry.endingAt(name, notAfter) : []) {
      const entry = await upkeep?.read(key).catch(passOverFault);
      if (entry && isChainOf(pem, entry.chain)) return entry;
    }
  }
  return undefined;
}

function passOverFault(error: unknown): undefined {
  if (!isStorageFault(error)) throw error;
}

/** @returns whether all could be read: what cannot be may be another block's */
async function noteStored({ storages, issuers }: Parts, signal: AbortSignal): Promise<boolean> {
  let isWhole = true;
  const passOver = (error: unknown) => {
    passOverFault(error);
    isWhole = false;
    return undefined;
  };
  for (const { upkeep } of storages.values()) {
    for (let cursor: string | undefined = upkeep && ''; upkeep && cursor !== undefined; ) {
      const part: Awaited<ReturnType<typeof upkeep.keys>> | undefined = await upkeep
        .keys(cursor)
        .catch(passOver);
      for (let at = 0; part && at < part.keys.length; at += AT_ONCE) {
        signal.throwIfAborted();
        const keys = part.keys.slice(at, at + AT_ONCE);
        const entries = await Promise.all(keys.map(key => upkeep.read(key).catch(passOver)));
        for (const entry of entries)
          if (entry) await issuers.note(entry.issuedBy?.directory ?? '', entry.chain);
      }
      cursor = part?.cursor;
    }
  }
  return isWhole;
}
