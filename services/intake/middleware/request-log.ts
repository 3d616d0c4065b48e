import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import type { Log } from '../../../shared/base/log.ts';
import { Histogram, type Registry } from '../../../shared/base/metrics.ts';

/** Gives every request an id, and logs and counts how it ended. */
export function requestLog(log: Log, metrics: Registry): Middleware {
  const seconds = new Histogram({
    name: 'quarry_intake_request_seconds',
    help: 'Time from request to answer, by status',
    labelNames: ['method', 'status'],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 180],
    registers: [metrics],
  });

  return async (ctx, next) => {
    const started = performance.now();
    ctx.state.requestId = randomUUID();
    ctx.set('X-Request-Id', ctx.state.requestId);
    await next();
    const duration = (performance.now() - started) / 1000;
    seconds.observe({ method: ctx.method, status: ctx.status }, duration);
    const { requestId, client, job, names, reason } = ctx.state;
    const answer = { request: requestId, client, method: ctx.method, path: ctx.path, status: ctx.status };
    log.info({ ...answer, seconds: Number(duration.toFixed(3)), job, names, reason }, 'request');
  };
}
