import type { Admission, AuthBlock } from '../../shared/admission/admit.ts';
import { blocksForUnusual } from '../../shared/admission/unusual-keys.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import { toSignJob } from '../../shared/issue/request-certificate.ts';
import { parseCsr } from '../../shared/pki/csr.ts';
import type { SignJobData } from '../../shared/queue/sign-records.ts';
import type { LastFetch, ManagedCertificate } from '../../shared/renewal/renewal-index.ts';
import type { KeptEntry } from '../../shared/storage/storage.ts';
import type { PollParts } from './poll-renewal-info.ts';

/**
 * The job that a client's post would make today. The auth block is the one that let a client have the
 * certificate last; what the configuration denies by now is not renewed, and no other block stands in, as it
 * may be other clients'.
 *
 * @throws IssuanceError `denied`; `badCsr` where no CA of the block takes the CSR
 */
export async function toRenewalJob(
  { admission, caOf }: { admission: Admission } & Pick<PollParts, 'caOf'>,
  { forced, certificate, named, issuedBy, notAfter }: ManagedCertificate,
  { storage, entry, fetched }: { storage: string; entry: KeptEntry; fetched: LastFetch | undefined },
): Promise<SignJobData> {
  const { identifiers, publicKey, unusual } = parseCsr(entry.csr.der);
  const candidates = admission.blocks.filter(block => block.storage === storage);
  // An operator vouches for what no client was seen to fetch.
  const block = fetched
    ? candidates.find(one => one.name === fetched.block)
    : forced && admission.find(candidates, identifiers);
  if (!block)
    throw deny(
      `no auth block ${fetched ? `"${fetched.block}" ` : 'for these names '}uses storage "${storage}"`,
    );
  const refused = identifiers.find(identifier => !block.mayHave(identifier));
  if (refused) throw deny(describeRefused(block, refused));
  const [able = block] = unusual ? blocksForUnusual(admission, [block], identifiers, unusual) : [block];
  const requestId = `renewal-${entry.csr.digest.slice(0, 12)}`;
  const issuer = named ? caOf(issuedBy) : undefined; // another CA does not know the certificate
  const replaces = issuer && { id: certificate, directory: issuer.connection.directoryUrl };
  return toSignJob(able, entry.csr, {
    identifiers,
    publicKey,
    requestId,
    due: notAfter,
    ...(replaces && { replaces }),
  });
}

/** Whether the block admits the name only to a client that has it in its certificate and shows that. */
export const isForItsClient = ({ ownNames, mayHave }: AuthBlock, identifier: Identifier): boolean =>
  !mayHave(identifier) && (ownNames?.includes(identifier.type) ?? false);

function describeRefused(block: AuthBlock, refused: Identifier): string {
  return isForItsClient(block, refused)
    ? `in auth block "${block.name}" only a client that shows its certificate may have ${refused.value}`
    : `auth block "${block.name}" does not hold ${refused.value}`;
}

const deny = (why: string) =>
  new IssuanceError('denied', `the configuration does not admit it any more: ${why}`);
