import type { Seals } from '../admission/hmac.ts';
import { isSealedData } from './bullmq.ts';
import type { Results } from './read-results.ts';
import { SIGN_QUEUE, type SignJobData } from './sign-job.ts';

/**
 * `block`: the auth block whose clients may fetch the result; `hasFailed`: BullMQ has failed the job for
 * good, so that none will come.
 */
export type FoundJob = { block: string; hasFailed: boolean };

type KeptJob = { data: SignJobData; finishedOn?: number | undefined };

/** @param getJob gives what BullMQ has: of a job that failed, for a week; of one that succeeded, nothing */
export function openFindJob(
  getJob: (jobId: string) => Promise<KeptJob | undefined>,
  { readResult }: Pick<Results, 'readResult'>,
  seals: Seals,
): (jobId: string) => Promise<FoundJob | undefined> {
  async function findResult(jobId: string): Promise<FoundJob | undefined> {
    const result = await readResult(jobId);
    return result && { block: result.block, hasFailed: false };
  }

  return async jobId => {
    const found = await findResult(jobId);
    if (found) return found;
    const job = await getJob(jobId);
    const own = job && isSealedData(seals, SIGN_QUEUE, jobId, job.data) ? job : undefined;
    const isOver = !job || job.finishedOn !== undefined;
    if (!isOver) return own && { block: own.data.block, hasFailed: false };
    // It may have ended between the two looks.
    return (await findResult(jobId)) ?? (own && { block: own.data.block, hasFailed: true });
  };
}
