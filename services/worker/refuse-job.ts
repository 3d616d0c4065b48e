import { toObjection } from '../../shared/admission/refusal.ts';
import { toSignFailure } from '../../shared/base/errors.ts';
import type { SignResult } from '../../shared/queue/sign-records.ts';
import { endClientOrder } from './client-order.ts';
import {
  flightOf,
  namesOf,
  type SignJob,
  type SignJobEnd,
  type SignJobParts,
  type SignRun,
  writeResult,
} from './job.ts';
import { withdrawAt } from './withdraw-at.ts';

/** Of a job that bears no seal. */
const UNSEALED =
  'this job was not made by an intake or a scheduler of this installation, or by one of an earlier version: ' +
  'post the same CSR again';

/** Ends a job that anybody may have written into Redis. Nothing is done of what it says. */
export async function refuseUnsealed(parts: SignJobParts, job: SignJob): Promise<SignJobEnd> {
  await tellRefused(parts, job, UNSEALED);
  const result = toFailed(job, UNSEALED);
  const key = await parts.records.writeResult(job.lock, result, flightOf(job.data, ''));
  const { order } = job.data;
  if (order !== undefined) await endClientOrder(parts, job.lock.jobId, order, result);
  return { end: 'finished', key, result };
}

/** Ends a job that today's configuration does not admit, and gives up what an earlier run of it holds. */
export async function refuse(run: SignRun, why: string): Promise<SignJobEnd> {
  const { parts, job } = run;
  await tellRefused(parts, job, why);
  for (const { account } of job.data.accounts) {
    const ca = parts.cas.get(account);
    if (ca) await withdrawAt(run, ca);
    await parts.records.leaveFlight(job.lock, flightOf(job.data, account));
  }
  return writeResult(run, '', toFailed(job, why));
}

const toFailed = ({ data }: SignJob, why: string): SignResult => ({
  outcome: 'failed',
  block: data.block,
  error: toSignFailure(toObjection(why)),
});

/** Operators read it in the log, and in the trail. */
async function tellRefused({ trail, clock, log }: SignJobParts, job: SignJob, detail: string): Promise<void> {
  const { block, by, client, requestId } = job.data;
  log.warn({ job: job.lock.jobId, request: requestId, block, reason: detail }, 'job refused');
  await trail.write({
    ...{ at: clock.now(), event: 'refused', names: namesOf(job), block, by, client },
    ...{ request: requestId, job: job.lock.jobId, detail },
  });
}
