import type { Job } from 'bullmq';
import type { Log } from '../../shared/base/log.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import { openWorker } from '../../shared/queue/open-worker.ts';
import { REVOKE_QUEUE, type RevokeJobData, type RevokeResult } from '../../shared/queue/revoke-queue.ts';
import { type RevokeJobParts, runRevokeJob } from './revoke-job.ts';

const CONCURRENCY = 4;

/** BullMQ's side of revoking. A job that is cut off when the worker stops runs again elsewhere. */
export function consumeRevokeJobs(
  jobParts: RevokeJobParts,
  { redisUrl, prefix, metrics, log }: { redisUrl: string; prefix: string; metrics: Registry; log: Log },
): AsyncDisposable {
  const stopping = new AbortController();
  const finished = new Counter({
    name: 'quarry_worker_revocations_total',
    help: 'Revoke jobs finished, by outcome',
    labelNames: ['outcome'],
    registers: [metrics],
  });

  async function process(job: Job<RevokeJobData>, _token = '', cancelled = new AbortController().signal) {
    const last = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
    const signal = AbortSignal.any([stopping.signal, cancelled]);
    const result = await runRevokeJob(jobParts, job.data, last, signal);
    finished.inc({ outcome: result.outcome === 'revoked' ? 'revoked' : result.error.code });
    return result;
  }

  const parts = { redisUrl, prefix, concurrency: CONCURRENCY, log };
  const { close } = openWorker<RevokeJobData, RevokeResult>(REVOKE_QUEUE, process, parts);
  return { [Symbol.asyncDispose]: () => close(stopping, 0) };
}
