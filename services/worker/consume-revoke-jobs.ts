import { type Job, Worker } from 'bullmq';
import { describeError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { REVOKE_QUEUE, type RevokeJobData, type RevokeResult } from '../../shared/queue/revoke-queue.ts';
import { type RevokeJobParts, runRevokeJob } from './revoke-job.ts';

const CONCURRENCY = 4;
const LOCK_DURATION = 8_000;
const STALLED_INTERVAL = 4_000;
/** Kills are no fault of the job's. */
const MOST_KILLS = 1_000;

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

  const redis = openRedis(redisUrl, 'patient', log.child({}, { level: 'silent' }));
  const worker = new Worker<RevokeJobData, RevokeResult>(REVOKE_QUEUE, process, {
    connection: redis,
    prefix,
    concurrency: CONCURRENCY,
    lockDuration: LOCK_DURATION,
    stalledInterval: STALLED_INTERVAL,
    maxStalledCount: MOST_KILLS,
  });
  worker.on('error', error => log.debug({ reason: describeError(error) }, 'revoke worker'));
  worker.on('lockRenewalFailed', jobIds => {
    for (const jobId of jobIds) worker.cancelJob(jobId, 'the lock was lost');
  });

  return {
    async [Symbol.asyncDispose]() {
      const working = redis.status === 'ready';
      const closing = worker.close(!working);
      stopping.abort(new Error('the worker is stopping'));
      await closing;
      closeRedis(redis);
    },
  };
}
