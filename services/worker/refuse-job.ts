import { IssuanceError, toSignFailure } from '../../shared/base/basics.ts';
import type { SignResult } from '../../shared/queue/sign-records.ts';
import { flightOf, namesOf, type SignJob, type SignJobEnd, type SignJobParts } from './job.ts';

/** Of a job that bears no seal. */
const UNSEALED =
  'this job was not made by an intake or a scheduler of this installation, or by one of an earlier version: ' +
  'post the same CSR again';

/** Ends a job that anybody may have written into Redis. Nothing is done of what it says. */
export async function refuseUnsealed(parts: SignJobParts, job: SignJob): Promise<SignJobEnd> {
  const error = new IssuanceError('denied', UNSEALED);
  await tellRefused(parts, job, UNSEALED);
  const result: SignResult = { outcome: 'failed', block: job.data.block, error: toSignFailure(error) };
  const key = await parts.records.writeResult(job.lock, result, flightOf(job.data, ''));
  return { end: 'finished', key, result };
}

/** Operators read it in the log, and in the trail. */
async function tellRefused({ trail, clock, log }: SignJobParts, job: SignJob, detail: string): Promise<void> {
  const { block, by, client, requestId } = job.data;
  log.warn({ job: job.lock.jobId, request: requestId, block, reason: detail }, 'job refused');
  await trail.write({
    ...{ at: clock.now(), event: 'refused', names: namesOf(job), block, by, client },
    ...{ request: requestId, job: job.lock.jobId, detail },
  });
}
