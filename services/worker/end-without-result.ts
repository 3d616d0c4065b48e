import type { JobLock } from '../../shared/queue/bullmq.ts';
import { failedByQueue, type SignJobData, type SignRecords } from '../../shared/queue/sign-records.ts';
import { endClientOrder } from './client-order.ts';
import { flightOf, type SignJobParts } from './job.ts';
import { tokenOf } from './spent-token.ts';

/**
 * Lets other jobs order the same names, and the clients of this one go. A result that is there all the same
 * counts: what BullMQ has failed may be only what came after it.
 */
export async function endWithoutResult(
  parts: Pick<SignJobParts, 'records' | 'orders'>,
  lock: JobLock,
  data: SignJobData | undefined,
): Promise<void> {
  const { records } = parts;
  const { jobId } = lock;
  if (data) await leaveFlights(records, lock, data);
  const written = await records.readResult(jobId);
  if (!written) await records.publishFailure(jobId, data && tokenOf(records, data));
  if (data?.order === undefined) return;
  await endClientOrder(parts, jobId, data.order, written ?? failedByQueue(data.block));
}

export async function leaveFlights(records: SignRecords, lock: JobLock, data: SignJobData): Promise<void> {
  for (const { account } of data.accounts) await records.leaveFlight(lock, flightOf(data, account));
}
