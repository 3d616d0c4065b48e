import { DelayedError, type Job } from 'bullmq';
import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import { describeError } from '../../shared/base/errors.ts';
import { Counter, Gauge } from '../../shared/base/metrics.ts';
import { type Redis, watchOutages } from '../../shared/base/redis.ts';
import type { RoleParts } from '../../shared/base/role.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { openLimits } from '../../shared/limits/limits.ts';
import { openPollPaces } from '../../shared/order/poll-pace.ts';
import { openFlights } from '../../shared/queue/flights.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { delayJob, openWorker } from '../../shared/queue/open-worker.ts';
import { SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-job-data.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openSolvers } from '../../shared/solver/kinds.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { AccountHolder } from './account-holder.ts';
import { runSignJob } from './sign-job.ts';
import type { SignJobParts } from './sign-run.ts';

/** How long a step may go on after SIGTERM before it is cut off. */
const LAST_STEP = 3_000;
const HAND_OVER_DELAY = 100;

/** BullMQ's side of the role: takes jobs, gives them back when they have to wait or when the worker stops. */
export function consumeSignJobs(
  config: Config,
  { redisUrl, clock, log, metrics }: RoleParts,
  redis: Redis,
  connection: CaConnection,
  account: AccountHolder,
): AsyncDisposable {
  const store = { redis, prefix: config.redis.prefix };
  const notices = openNotices(config.notify, { store, clock, log });
  const jobParts: SignJobParts = {
    connection,
    account,
    solvers: openSolvers(config.verifications.values(), { store, clock, log }),
    storages: openStorages(config.storages.values(), { store, clock, log }),
    renewals: openStoredRenewals(config.storages, store),
    records: openSignRecords(store),
    flights: openFlights(store),
    limits: openLimits(store, clock),
    budget: openBudget(store, config.limits, clock),
    notices,
    paces: openPollPaces(),
    outages: watchOutages(redis, clock),
    clock,
    log,
  };
  const stopping = new AbortController();
  const cutOff = new AbortController();
  const figures = openFigures(metrics);

  async function process(
    job: Job<SignJobData>,
    token = '',
    cancelled = new AbortController().signal,
  ): Promise<string> {
    const signals = { stopping: stopping.signal, abort: AbortSignal.any([cancelled, cutOff.signal]) };
    const lock = { jobId: job.id ?? '', token };
    figures.running.inc();
    try {
      const end = await runSignJob(jobParts, { lock, data: job.data, createdAt: job.timestamp }, signals);
      if (end.end === 'later') return await delayJob(job, end.until, token);
      figures.finished.inc({ outcome: end.result.outcome === 'issued' ? 'issued' : end.result.error.code });
      return end.key;
    } catch (error) {
      if (error instanceof DelayedError || !stopping.signal.aborted || cancelled.aborted) throw error;
      return await delayJob(job, clock.now() + HAND_OVER_DELAY, token);
    } finally {
      figures.running.dec();
    }
  }

  const { concurrency } = config.worker;
  const { worker, close } = openWorker<SignJobData, string>(SIGN_QUEUE, process, {
    redisUrl,
    prefix: store.prefix,
    concurrency,
    log,
  });
  worker.on('failed', (job, error) => {
    log.error({ job: job?.id, reason: describeError(error) }, 'sign job failed');
    // Once it is not tried again, it ends without a result, and must not keep others from ordering the same names.
    if (job?.id && job.finishedOn !== undefined) jobParts.flights.leave(job.id, job.data).catch(() => {});
  });

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('the worker is stopping'));
      await close(cutOff, LAST_STEP);
      await notices[Symbol.asyncDispose]();
    },
  };
}

function openFigures(metrics: RoleParts['metrics']) {
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
