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
  jobId: string,
  data: SignJobData | undefined,
): Promise<void> {
  const { records } = parts;
  if (data) await leaveFlights(records, jobId, data);
  const written = await records.readResult(jobId);
  if (!written) await records.publishFailure(jobId, data && tokenOf(records, data));
  if (data?.order === undefined) return;
  await endClientOrder(parts, jobId, data.order, written ?? failedByQueue(data.block));
}

export async function leaveFlights(records: SignRecords, jobId: string, data: SignJobData): Promise<void> {
  for (const { account } of data.accounts) await records.leaveFlight(jobId, flightOf(data, account));
}
