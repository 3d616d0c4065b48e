import { IssuanceError } from '../../shared/base/basics.ts';
import { OrderEndedError } from '../../shared/order/order-failure.ts';
import { flightOf, type SignRun } from './job.ts';

/**
 * Keeps the order of a job that fails while its CA is still working on it, or cannot be asked: the next post
 * of the same CSR goes on with it, instead of making another.
 *
 * @returns keys in Redis of what was kept before and is void now
 */
export async function keepForNextJob(
  { parts, job, csr, progress, log }: SignRun,
  account: string,
  error: unknown,
): Promise<string[]> {
  const { order, turn } = progress.orderAt(account);
  const ca = parts.cas.get(account);
  if (!ca || order.url === undefined) return [];
  const isGood = error instanceof IssuanceError && !(error instanceof OrderEndedError);
  if (isGood && ['unavailable', 'rateLimited'].includes(error.code)) {
    const { certificateProfile } = flightOf(job.data, account);
    const { url, finalizedAt } = order;
    const kept = { url, account, certificateProfile, turn, ...(finalizedAt && { finalizedAt }) };
    await ca.limits.rememberCsr(csr.digest, job.data.identifiers, error, kept);
    log.info({ order: order.url, account }, 'the order is kept for the next post of the same');
    return [];
  }
  const isRefusal = error instanceof IssuanceError && error.code === 'badCsr';
  return isRefusal ? [] : [ca.limits.csrKey(csr.digest)];
}
