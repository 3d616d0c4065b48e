import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/basics.ts';
import { Counter, Gauge, type Registry } from '../../shared/base/metrics.ts';
import { type FailedJob, type JobSignals, type Later, openWorker } from '../../shared/queue/bullmq.ts';
import { SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-job-data.ts';
import { flightOf, type SignJob, type SignJobParts } from './job.ts';
import { runSignJob } from './sign-job.ts';

/** How long a step may go on after SIGTERM before it is cut off. */
const LAST_STEP = 3_000;

/** Takes sign jobs, and gives them back when they have to wait or when the worker stops. */
export function consumeSignJobs(
  jobParts: SignJobParts,
  concurrency: number,
  { redisUrl, prefix, metrics, log }: { redisUrl: string; prefix: string; metrics: Registry; log: Log },
): AsyncDisposable {
  const figures = openFigures(metrics);

  async function run(job: SignJob, signals: JobSignals): Promise<string | Later> {
    figures.running.inc();
    try {
      const end = await runSignJob(jobParts, job, signals);
      if (end.end === 'later') return { later: end.until };
      figures.finished.inc({ outcome: end.result.outcome === 'issued' ? 'issued' : end.result.error.code });
      return end.key;
    } finally {
      figures.running.dec();
    }
  }

  function failed(error: Error, { id, data, over }: FailedJob<SignJobData>) {
    log.error({ job: id, reason: describeError(error) }, 'sign job failed');
    // A job that is over without a result must not keep others from ordering the same names.
    if (over) leaveFlights(jobParts, id, data).catch(() => {});
  }

  return openWorker<SignJobData, string>(
    SIGN_QUEUE,
    { concurrency, patience: LAST_STEP, run, failed },
    { redisUrl, prefix, log },
  );
}

async function leaveFlights({ records }: SignJobParts, jobId: string, data: SignJobData): Promise<void> {
  for (const { account } of data.accounts) await records.leaveFlight(jobId, flightOf(data, account));
}

function openFigures(metrics: Registry) {
  return {
    running: new Gauge({
      name: 'quarry_worker_jobs_running',
      help: 'Sign jobs in a slot now',
      registers: [metrics],
    }),
    finished: new Counter({
      name: 'quarry_worker_jobs_total',
      help: 'Sign jobs finished, by outcome',
      labelNames: ['outcome'],
      registers: [metrics],
    }),
  };
}
