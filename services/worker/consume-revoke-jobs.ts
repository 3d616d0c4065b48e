import type { Seals } from '../../shared/admission/hmac.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import { openWorker, type WorkerParts } from '../../shared/queue/bullmq.ts';
import {
  isRevokeJobData,
  REVOKE_QUEUE,
  type RevokeJobData,
  sealRevokeResult,
} from '../../shared/queue/revoke-queue.ts';
import { refuseRevocation } from './refuse-revocation.ts';
import { type RevokeJobParts, runRevokeJob } from './revoke-job.ts';

const CONCURRENCY = 4;

/** Takes revoke jobs. One that is cut off when the worker stops runs again elsewhere. */
export function consumeRevokeJobs(
  jobParts: RevokeJobParts & Parameters<typeof refuseRevocation>[0],
  { metrics, ...queueParts }: WorkerParts & { seals: Seals; metrics: Registry },
): AsyncDisposable {
  const finished = new Counter({
    name: 'quarry_worker_revocations_total',
    help: 'Revoke jobs finished, by outcome',
    labelNames: ['outcome'],
    registers: [metrics],
  });
  return openWorker<RevokeJobData, string>(
    REVOKE_QUEUE,
    {
      concurrency: CONCURRENCY,
      isData: isRevokeJobData,
      patience: 0,
      async run(job, { abort }) {
        const refused = await refuseRevocation(jobParts, job);
        const result = refused ?? (await runRevokeJob(jobParts, job.data, job.lastAttempt, abort));
        finished.inc({ outcome: result.outcome === 'failed' ? result.error.code : result.outcome });
        return sealRevokeResult(queueParts.seals, job.lock.jobId, result);
      },
    },
    queueParts,
  );
}
