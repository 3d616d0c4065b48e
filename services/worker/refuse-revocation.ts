import { type AuthBlock, findObjection } from '../../shared/admission/admit.ts';
import { toObjection } from '../../shared/admission/refusal.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { toSignFailure } from '../../shared/base/errors.ts';
import { readRevocable } from '../../shared/pki/revocation.ts';
import type { HeldJob } from '../../shared/queue/bullmq.ts';
import type { RevokeJobData, RevokeResult } from '../../shared/queue/revoke-queue.ts';
import type { Trail } from '../../shared/trail/trail.ts';

type Parts = {
  /** The auth blocks by their names. */
  blocks: ReadonlyMap<string, AuthBlock>;
  trail: Pick<Trail, 'write'>;
  clock: Clock;
  log: Log;
};

const UNSEALED =
  'this job was not made by an intake of this installation, or by one of an earlier version: ' +
  'post the certificate again';

/** @returns how a job ends that is not to be done, which operators read in the log and in the trail */
export async function refuseRevocation(
  { blocks, trail, clock, log }: Parts,
  { data, lock, isSealed }: Pick<HeldJob<RevokeJobData>, 'data' | 'lock' | 'isSealed'>,
): Promise<RevokeResult | undefined> {
  const detail = isSealed ? findObjectionTo(data, blocks) : UNSEALED;
  if (detail === undefined) return undefined;
  const { names, block, by, client, requestId: request } = data;
  log.warn({ job: lock.jobId, request, names, block, reason: detail }, 'revocation refused');
  const event = { at: clock.now(), event: 'refused', names, block, by, client, request } as const;
  await trail.write({ ...event, job: lock.jobId, detail: `revocation: ${detail}` });
  return { outcome: 'failed', error: toSignFailure(toObjection(detail)) };
}

/**
 * Judges again what an intake has admitted: the names are those that the certificate itself has. Blocks may
 * be gone since the certificate was issued: they bind no operator, nor who ordered it or has its key.
 */
function findObjectionTo(data: RevokeJobData, blocks: Parts['blocks']): string | undefined {
  if (data.operator !== undefined || data.holds !== undefined) return undefined;
  const { identifiers } = readRevocable(data.certificate);
  const accounts = data.accounts.map(account => ({ account }));
  return findObjection(blocks, { ...data, identifiers, accounts, verifications: [] });
}
