import type { Log } from '../../shared/base/basics.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import { openWorker } from '../../shared/queue/bullmq.ts';
import {
  isRevokeJobData,
  REVOKE_QUEUE,
  type RevokeJobData,
  type RevokeResult,
} from '../../shared/queue/revoke-queue.ts';
import { type RevokeJobParts, runRevokeJob } from './revoke-job.ts';

const CONCURRENCY = 4;

/** Takes revoke jobs. One that is cut off when the worker stops runs again elsewhere. */
export function consumeRevokeJobs(
  jobParts: RevokeJobParts,
  { redisUrl, prefix, metrics, log }: { redisUrl: string; prefix: string; metrics: Registry; log: Log },
): AsyncDisposable {
  const finished = new Counter({
    name: 'quarry_worker_revocations_total',
    help: 'Revoke jobs finished, by outcome',
    labelNames: ['outcome'],
    registers: [metrics],
  });
  return openWorker<RevokeJobData, RevokeResult>(
    REVOKE_QUEUE,
    {
      concurrency: CONCURRENCY,
      isData: isRevokeJobData,
      patience: 0,
      async run({ data, lastAttempt }, { abort }) {
        const result = await runRevokeJob(jobParts, data, lastAttempt, abort);
        finished.inc({ outcome: result.outcome === 'failed' ? result.error.code : result.outcome });
        return result;
      },
    },
    { redisUrl, prefix, log },
  );
}
