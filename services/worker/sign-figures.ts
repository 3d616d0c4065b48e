import { Counter, Gauge, type Registry } from '../../shared/base/metrics.ts';

/** How many sign jobs run, and how they end. */
export function openFigures(metrics: Registry) {
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
