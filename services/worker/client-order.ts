import type { Kept } from '../../shared/acme-server/orders.ts';
import { isAtWork, settleOrder, writeWithEnd } from '../../shared/acme-server/settle.ts';
import type { Certificate } from '../../shared/pki/certificate.ts';
import type { SignRecords, SignResult } from '../../shared/queue/sign-records.ts';
import type { SignJob, SignJobParts } from './sign-job-parts.ts';

// What a sign job has to do with the order of the ACME client that it is for.

/**
 * Why the job is not to be done: its order has ended, as the client has deactivated an authorization, or as
 * an intake that had lost sight of the job made it a second time; or its account is deactivated (RFC 8555
 * section 7.3.6).
 */
export async function findOrderOver(
  run: { parts: SignJobParts; job: SignJob; clientOrder?: Kept },
  order: string,
): Promise<string | undefined> {
  const { orders, clientAccounts } = run.parts;
  const { clientAccount = '' } = run.job.data;
  // Both leave in one write.
  const [kept, client] = await Promise.all([orders.read(order), clientAccounts.read(clientAccount)]);
  if (!kept || !isAtWork(kept.order, run.job.lock.jobId)) return 'the order is over';
  run.clientOrder = kept;
  return client?.account.status === 'deactivated' ? 'the client account is deactivated' : undefined;
}

/** Writes the result and ends the order in one moment. @param leaf of the chain, where that is the result */
export const recordsWithOrder = (
  { parts, clientOrder }: { parts: Pick<SignJobParts, 'orders' | 'records'>; clientOrder?: Kept },
  id: string,
  leaf: Certificate | undefined,
): Pick<SignRecords, 'writeResult'> => ({
  writeResult: (lock, result, ...more) =>
    writeWithEnd(parts.orders, { id, jobId: lock.jobId, result, leaf }, clientOrder, {
      alone: () => parts.records.writeResult(lock, result, ...more),
      after: first => parts.records.writeResultAfter(first, lock, result, ...more),
    }),
});

/** Ends the order of a job that has ended without a result of its own. */
export async function endClientOrder(
  { orders }: Pick<SignJobParts, 'orders'>,
  jobId: string,
  id: string,
  result: SignResult,
): Promise<void> {
  await settleOrder(orders, { id, jobId, result });
}
