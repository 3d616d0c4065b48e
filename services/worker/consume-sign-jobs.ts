import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import { describeError } from '../../shared/base/errors.ts';
import { Counter, Gauge } from '../../shared/base/metrics.ts';
import { type Redis, watchOutages } from '../../shared/base/redis.ts';
import type { RoleParts } from '../../shared/base/role.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { openLimits } from '../../shared/limits/limits.ts';
import { openPollPaces } from '../../shared/order/poll-pace.ts';
import { type FailedJob, type JobSignals, type Later, openWorker } from '../../shared/queue/bullmq.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-job-data.ts';
import { openFlights, openSignRecords } from '../../shared/queue/sign-records.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openSolvers } from '../../shared/solver/open-solver.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { AccountHolder } from './account-holder.ts';
import { runSignJob } from './sign-job.ts';
import type { SignJob, SignJobParts } from './sign-run.ts';

/** How long a step may go on after SIGTERM before it is cut off. */
const LAST_STEP = 3_000;

/** Takes sign jobs, and gives them back when they have to wait or when the worker stops. */
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
    if (over) jobParts.flights.leave(id, data).catch(() => {});
  }

  const { concurrency } = config.worker;
  const worker = openWorker<SignJobData, string>(
    SIGN_QUEUE,
    { concurrency, patience: LAST_STEP, run, failed },
    { redisUrl, prefix: store.prefix, log },
  );
  return {
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
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
