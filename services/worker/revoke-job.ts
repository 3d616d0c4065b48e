import { saysAccountIsGone } from '../../shared/acme/problem.ts';
import { revokeCertificate } from '../../shared/acme/revoke.ts';
import type { Certificates } from '../../shared/acme-server/certificates.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError, IssuanceError, toSignFailure } from '../../shared/base/errors.ts';
import { accountOf } from '../../shared/ca/account-holder.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { BlockedKeys } from '../../shared/limits/blocked-keys.ts';
import type { RevokedCertificates } from '../../shared/limits/revoked-certificates.ts';
import { describeLeaf, readCertificate } from '../../shared/pki/certificate.ts';
import { certificateKeyDigest } from '../../shared/pki/public-key.ts';
import type { RevokeJobData, RevokeResult } from '../../shared/queue/revoke-queue.ts';
import type { SignRecords } from '../../shared/queue/sign-records.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import type { Trail } from '../../shared/trail/trail.ts';
import type { FindIssuing } from './find-issuing.ts';
import { removeFromStorages, type StoragesParts } from './remove-from-storages.ts';

export type RevokeJobParts = StoragesParts & {
  /** By the names of their accounts. */
  cas: ReadonlyMap<string, Ca>;
  records: Pick<SignRecords, 'withhold'>;
  findIssuing: FindIssuing;
  blockedKeys: Pick<BlockedKeys, 'block'>;
  revokedCertificates: Pick<RevokedCertificates, 'mark'>;
  /** Those of ACME clients. */
  clientCertificates: Pick<Certificates, 'mark'>;
  trail: Pick<Trail, 'write'>;
  clock: Clock;
  log: Log;
};

/**
 * Revokes a certificate at the CA and removes it from the storages. Safe to repeat: a worker that dies in the
 * middle is followed by another.
 *
 * @param last whether a failure is the job's end, and not a reason to come again
 * @throws whatever may be gone when the job runs again
 */
export async function runRevokeJob(
  parts: RevokeJobParts,
  data: RevokeJobData,
  last: boolean,
  signal: AbortSignal,
): Promise<RevokeResult> {
  const { certificate, names, requestId } = data;
  const log = parts.log.child({ request: requestId });
  try {
    if (data.operator === 'forget') return await forget(parts, data, log, signal);
    const { account, revoked, isClaimed } = await revokeAtCas(parts, data, signal);
    const isCompromised = data.reason === 'keyCompromise';
    if (isCompromised && !isClaimed) await blockKey(parts, data);
    if (isCompromised && isClaimed) log.warn({ names, account }, KEY_NOT_BLOCKED);
    await parts.revokedCertificates.mark(certificate);
    const { fingerprint } = describeLeaf(certificate, readCertificate(certificate));
    await parts.clientCertificates.mark(fingerprint, { revoked: parts.clock.now() });
    await parts.records.withhold(certificate);
    const removed = await removeFromStorages(parts, certificate, signal);
    await parts.trail.write(toRevoked(data, account, revoked, parts.clock.now()));
    log.info({ names, account, reason: data.reason, already: !revoked, removed }, 'certificate revoked');
    return { outcome: 'revoked', already: !revoked, account };
  } catch (error) {
    signal.throwIfAborted();
    const known = error instanceof IssuanceError;
    const again = !last && (!known || error.code === 'unavailable' || error.code === 'gone');
    log[known ? 'warn' : 'error'](
      { names, reason: describeError(error) },
      again ? 'revoking again later' : 'not revoked',
    );
    if (again) throw error;
    return { outcome: 'failed', error: toSignFailure(error) };
  }
}

function toRevoked(
  { certificate, names, reason, block, by, client, requestId: request }: RevokeJobData,
  account: string,
  revoked: boolean,
  at: number,
): TrailEvent {
  const { serial, fingerprint } = describeLeaf(certificate, readCertificate(certificate));
  const detail = [reason, revoked ? undefined : 'it was revoked before'].filter(one => one).join('; ');
  const who = { block, by, client, account, request };
  return { at, event: 'revoked', names, serial, fingerprint, ...who, detail: detail || undefined };
}

/** No result and no storage hands it out any more, and nothing renews it. */
async function forget(
  parts: RevokeJobParts,
  { certificate, names }: RevokeJobData,
  log: Log,
  signal: AbortSignal,
): Promise<RevokeResult> {
  await parts.records.withhold(certificate);
  const storages = await removeFromStorages(parts, certificate, signal);
  log.info({ names, removed: storages }, 'certificate forgotten');
  return { outcome: 'forgotten', storages };
}

/** A CA that looks at the serial number alone would have anybody's key blocked by a forged certificate. */
const KEY_NOT_BLOCKED =
  'the key is not blocked, as only its name says who issued the certificate; quarry keys block does it';

/** CAs leave that to the account: they certify the key again when it asks them to. */
async function blockKey(
  { blockedKeys, clock }: Pick<RevokeJobParts, 'blockedKeys' | 'clock'>,
  { certificate, names }: RevokeJobData,
): Promise<void> {
  const reason = `a certificate for ${names.join(', ')} was revoked, as the key is compromised`;
  await blockedKeys.block(certificateKeyDigest(readCertificate(certificate)), { reason, at: clock.now() });
}

/**
 * Asks one account after the other of those that may have ordered the certificate, those of the auth block
 * first, as only the one that did can revoke it for sure.
 *
 * @returns by which account it is revoked, whether it was this call that did it, and `isClaimed` as
 *   `FindIssuing` has it
 * @throws IssuanceError where no account can revoke it; a CA that is away may be the one that could
 */
async function revokeAtCas(
  { cas, findIssuing }: RevokeJobParts,
  { certificate, reason, accounts }: RevokeJobData,
  signal: AbortSignal,
): Promise<{ account: string; revoked: boolean; isClaimed: boolean }> {
  const inOrder = [...new Set([...accounts, ...cas.keys()])].flatMap(account => cas.get(account) ?? []);
  const errors: unknown[] = [];
  const { issuing, isClaimed } = await findIssuing(inOrder, certificate, signal);
  for (const ca of issuing) {
    try {
      return { account: ca.name, revoked: await revokeAt(ca, certificate, reason, signal), isClaimed };
    } catch (error) {
      signal.throwIfAborted();
      errors.push(error);
    }
  }
  throw errors.find(error => !isForeign(error)) ?? errors[0];
}

/** Whether the certificate is of another CA, or of another account. */
const isForeign = (error: unknown) =>
  error instanceof IssuanceError && (error.code === 'unknown' || error.code === 'denied');

async function revokeAt(
  { connection, account }: Ca,
  certificate: string,
  reason: RevokeJobData['reason'],
  signal: AbortSignal,
): Promise<boolean> {
  const current = accountOf(account);
  try {
    return await revokeCertificate(connection, current, certificate, reason, signal);
  } catch (error) {
    if (saysAccountIsGone(error)) await account.renew(current, signal);
    throw error;
  }
}
