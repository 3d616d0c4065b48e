import { refuseUsed } from '../admission/refusal.ts';
import type { OneCertificate } from '../admission/token-types.ts';
import type { SignQueue } from '../queue/sign-queue.ts';
import type { SignJobData } from '../queue/sign-records.ts';

/**
 * Has the one certificate ordered that a one-time token is good for. The token is bound to the CSR and the
 * job before the job is made: so of two posts at once, to whatever intakes, one is first; the other has the
 * same CSR, and joins it, or is refused. A job that fails lets the token go.
 *
 * @param csr its digest
 * @param data of the job, which `spends` the token
 * @param alsoReserve is given the job's id before it is made; an order that has it joins no job of another
 * @returns the job's id
 * @throws IssuanceError `denied` where the token was used
 */
export async function enqueueOnce(
  { used, bind, noteEnqueued }: OneCertificate,
  csr: string,
  data: SignJobData,
  signQueue: Pick<SignQueue, 'enqueue' | 'find'>,
  alsoReserve?: (job: string) => Promise<string>,
): Promise<string> {
  if (used && used.csr !== csr) refuseUsed();
  if (used && !alsoReserve && (await signQueue.find(used.job))) return used.job;
  // Bound, and the intake ended before it made the job; else the job has ended, and Redis has forgotten it.
  if (used?.enqueued) refuseUsed();

  async function reserve(newId: string): Promise<string> {
    const bound = used ?? (await bind({ csr, job: newId }));
    if (bound.csr !== csr) refuseUsed();
    return alsoReserve ? alsoReserve(bound.job) : bound.job;
  }
  const job = await signQueue.enqueue(data, reserve);
  await noteEnqueued({ csr, job });
  return job;
}
