import { isAtWork, settleOrder } from '../../shared/acme-server/settle.ts';
import type { SignResult } from '../../shared/queue/sign-records.ts';
import type { SignJobParts, SignRun } from './job.ts';

// What a sign job has to do with the order of the ACME client that it is for.

/**
 * Why the job is not to be done: its order has ended, as the client has deactivated an authorization, or as
 * an intake that had lost sight of the job made it a second time; or its account is deactivated (RFC 8555
 * section 7.3.6).
 */
export async function findOrderOver(
  { parts, job }: Pick<SignRun, 'parts' | 'job'>,
  order: string,
): Promise<string | undefined> {
  const kept = await parts.orders.read(order);
  if (!kept || !isAtWork(kept.order, job.lock.jobId)) return 'the order is over';
  const client = await parts.clientAccounts.read(kept.order.account);
  return client?.account.status === 'deactivated' ? 'the client account is deactivated' : undefined;
}

/** Ends the order, so that its client finds the certificate whenever it comes. */
export async function endClientOrder(
  { orders }: Pick<SignJobParts, 'orders'>,
  jobId: string,
  id: string,
  result: SignResult,
): Promise<void> {
  await settleOrder(orders, { id, jobId, result });
}
