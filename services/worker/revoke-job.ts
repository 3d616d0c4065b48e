import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import { problemKind } from '../../shared/acme/problem.ts';
import { revokeCertificate } from '../../shared/acme/revoke.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import type { RevokeJobData, RevokeResult } from '../../shared/queue/revoke-queue.ts';
import { toSignFailure } from '../../shared/queue/sign-job-data.ts';
import type { SignRecords } from '../../shared/queue/sign-records.ts';
import type { AccountHolder } from './account-holder.ts';
import { removeFromStorages, type StoragesParts } from './remove-from-storages.ts';

export type RevokeJobParts = StoragesParts & {
  connection: CaConnection;
  account: AccountHolder;
  records: Pick<SignRecords, 'markRevoked'>;
  log: Log;
};

/**
 * Revokes a certificate at the CA, and has nobody get it from Quarry any more. Safe to repeat: a worker that dies in the
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
    const revoked = await revokeAtCa(parts, data, signal);
    await parts.records.markRevoked(certificate);
    const removed = await removeFromStorages(parts, certificate, signal);
    log.info({ names, reason: data.reason, already: !revoked, removed }, 'certificate revoked');
    return { outcome: 'revoked', already: !revoked };
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

async function revokeAtCa(
  { connection, account }: RevokeJobParts,
  { certificate, reason }: RevokeJobData,
  signal: AbortSignal,
): Promise<boolean> {
  const current = account.current();
  try {
    return await revokeCertificate(connection, current, certificate, reason, signal);
  } catch (error) {
    const lost = error instanceof IssuanceError && problemKind(error.problem) === 'accountDoesNotExist';
    if (lost) await account.renew(current, signal);
    throw error;
  }
}
