import type { Seals } from '../../shared/admission/hmac.ts';
import type { Live } from '../../shared/base/live.ts';
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

/** What a revoke job needs. */
export type RevokeParts = RevokeJobParts & Parameters<typeof refuseRevocation>[0];

/** Takes revoke jobs. One that is cut off when the worker stops runs again elsewhere. */
export function consumeRevokeJobs(
  live: Live<{ revocations: RevokeParts }>,
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
        const { revocations: parts } = live.current;
        const refused = await refuseRevocation(parts, job);
        const result = refused ?? (await runRevokeJob(parts, job.data, job.lastAttempt, abort));
        finished.inc({ outcome: result.outcome === 'failed' ? result.error.code : result.outcome });
        return sealRevokeResult(queueParts.seals, job.lock.jobId, result);
      },
    },
    queueParts,
  );
}
