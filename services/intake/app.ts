import { randomUUID } from 'node:crypto';
import Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import type { Admission } from '../../shared/admission/admit.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Live } from '../../shared/base/live.ts';
import { Histogram, type Registry } from '../../shared/base/metrics.ts';
import type { Issuing } from '../../shared/issue/request-certificate.ts';
import type { RevokeQueue } from '../../shared/queue/revoke-queue.ts';
import type { Trail } from '../../shared/trail/trail.ts';
import { isRefusal, type Refusal, type Refusals, toAsker } from './refusals.ts';
import { resultRoute } from './routes/result.ts';
import { revokeRoute } from './routes/revoke.ts';
import { type Clients, signRoute, type Waiting } from './routes/sign.ts';
import { type Answer, addNote, toAnswer, toRetryAfter } from './to-answer.ts';

/**
 * The intake's HTTP interface: a log line for each request, an answer to each error.
 *
 * @param routes those of the configuration: a request keeps those that it began with
 */
export function createApp(parts: {
  routes: Live<Middleware>;
  refusals: Pick<Refusals, 'note'>;
  clock: Clock;
  log: Log;
  metrics: Registry;
}): Koa {
  const { routes, refusals, clock, log, metrics } = parts;
  const app = new Koa();
  app.use(requestLog(log, metrics));
  app.use(problemResponse(clock, refusals, log));
  app.use((ctx, next) => routes.current(ctx, next));
  app.use(ctx => ctx.throw(404, 'no such path; post a CSR to /sign, or a certificate to /revoke'));
  app.on('error', error => log.debug({ reason: String(error) }, 'connection ended early'));
  return app;
}

/** The few routes, each with one method. */
export function createRoutes(parts: {
  admission: Admission;
  clients: Clients;
  /** Bytes of a CSR. */
  maxSize: number;
  issuing: Issuing;
  revokeQueue: RevokeQueue;
  waiting: Waiting;
  trail: Pick<Trail, 'write'>;
  /** Where there is an ACME server: it has all other paths, or those under its own. */
  acme?: Middleware | undefined;
  /** That of the ACME server. */
  acmeUrl?: string | undefined;
}): Middleware {
  const { admission, clients, maxSize, issuing, revokeQueue, waiting, trail, acme } = parts;
  const sign = signRoute({ admission, clients, maxSize, issuing, waiting });
  const result = resultRoute({ admission, clients, issuing, trail, waiting });
  const revoke = revokeRoute({ admission, clients, revokeQueue, waiting });
  const router = new Router({ sensitive: true, strict: true });
  router.all('/sign', only('POST', 'curl --data-binary @host.csr posts a CSR'));
  router.get('/sign/:id', result).all('/sign/:id', only('GET', 'it fetches the result'));
  router
    .post('/revoke', revoke)
    .all('/revoke', only('POST', 'curl --data-binary @host.pem posts a certificate'));
  const script = quarryGet(parts.acmeUrl, clients);
  router.get('/quarry-get', script).all('/quarry-get', only('GET', 'it hands out quarry-get'));
  const routes = router.routes() as Middleware;
  const others: Middleware = acme ? (ctx, next) => routes(ctx, () => acme(ctx, next)) : routes;
  // Most requests by far are these, and the router tries each of its patterns.
  return (ctx, next) => (ctx.method === 'POST' && ctx.path === '/sign' ? sign(ctx) : others(ctx, next));
}

/** Its code is loaded once a host asks for the script. */
const quarryGet =
  (url: string | undefined, { isTrustedProxy }: Clients) =>
  async (ctx: Context) => {
    const { answerQuarryGet } = await import('./routes/quarry-get.ts');
    return answerQuarryGet(ctx, { url, isTrustedProxy });
  };

/** RFC 9110 section 15.5.6 requires the Allow header. */
function only(method: string, what: string) {
  const said = `only ${method} is possible here: ${what}`;
  return (ctx: Context) => ctx.throw(405, said, { headers: { Allow: method } });
}

/** Gives every request an id, and logs and counts how it ended. */
function requestLog(log: Log, metrics: Registry): Middleware {
  const seconds = new Histogram({
    name: 'quarry_intake_request_seconds',
    help: 'Time from request to answer, by status',
    labelNames: ['method', 'status'],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 180],
    registers: [metrics],
  });

  return async ({ req, res, state, path }, next) => {
    const started = performance.now();
    const requestId = randomUUID();
    state.requestId = requestId;
    res.setHeader('X-Request-Id', requestId);
    await next();
    const milliseconds = performance.now() - started;
    const [method, status] = [req.method ?? '', res.statusCode];
    seconds.observe({ method, status }, milliseconds / 1000);
    const { client, clientAccount, certificate, job, names, reason } = state;
    const answer = { request: requestId, client, clientAccount, certificate, method, path, status };
    log.info({ ...answer, seconds: Math.round(milliseconds) / 1000, job, names, reason }, 'request');
  };
}

/**
 * Turns every error into an answer: one line of text, or a problem document (RFC 9457) for a client that asks
 * for JSON.
 */
function problemResponse(clock: Clock, refusals: Pick<Refusals, 'note'>, log: Log): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const answer = addNote(toAnswer(error), ctx.state.badCertificate);
      if (answer.status === 500) log.error({ request: ctx.state.requestId, err: error }, 'request failed');
      ctx.state.reason = describeError(error);
      if (isRefusal(answer.status)) await refusals.note(toRefusal(ctx, error, answer.detail));
      ctx.status = answer.status;
      ctx.set(answer.headers);
      const retryAfter = toRetryAfter(answer, clock.now());
      if (retryAfter) ctx.set('Retry-After', retryAfter);
      writeProblem(ctx, answer);
    }
  };
}

/** The routes note the blocks that know the client, and the one of them that has the names. */
export function toRefusal({ state }: Context, error: unknown, detail: string): Refusal {
  const { client, names, blocks = [], requestId: request } = state;
  const own = error instanceof IssuanceError ? error.blocks : undefined;
  return { names, ...toAsker(own ?? blocks), client, request, detail };
}

const JSON_TYPES = ['application/problem+json', 'application/json'];

function writeProblem(ctx: Context, { status, detail, problem }: Answer): void {
  const type = ctx.accepts('text/plain', ...JSON_TYPES);
  if (typeof type !== 'string' || !JSON_TYPES.includes(type)) {
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = `${detail.replace(/\s+/g, ' ')}\n`;
    return;
  }
  ctx.body = JSON.stringify({
    type: problem?.type ?? 'about:blank',
    status,
    detail,
    instance: `urn:uuid:${ctx.state.requestId}`,
    ...(problem?.identifier && { identifier: problem.identifier }),
    ...(problem?.subproblems && { subproblems: problem.subproblems }),
  });
  ctx.type = 'application/problem+json';
}
