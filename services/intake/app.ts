import Router from '@koa/router';
import Koa, { type Context } from 'koa';
import type { Registry } from '../../shared/base/metrics.ts';
import { problemResponse } from './middleware/problem-response.ts';
import { requestLog } from './middleware/request-log.ts';
import { resultRoute } from './routes/result.ts';
import { type RevokeRouteParts, revokeRoute } from './routes/revoke.ts';
import { type SignRouteParts, signRoute } from './routes/sign.ts';

/** The intake's HTTP interface: few routes, each with one method. */
export function createApp(parts: SignRouteParts & RevokeRouteParts & { metrics: Registry }): Koa {
  const router = new Router();
  router.post('/sign', signRoute(parts)).all('/sign', only('POST'));
  router.get('/sign/:id', resultRoute(parts)).all('/sign/:id', only('GET'));
  router.post('/revoke', revokeRoute(parts)).all('/revoke', only('POST'));

  const app = new Koa();
  app.use(requestLog(parts.log, parts.metrics));
  app.use(problemResponse(parts.clock, parts.log));
  app.use(router.routes());
  app.use(ctx => ctx.throw(404, 'no such path; post a CSR to /sign, or a certificate to /revoke'));
  app.on('error', error => parts.log.debug({ reason: String(error) }, 'connection ended early'));
  return app;
}

/** RFC 9110 section 15.5.6 wants the Allow header. */
function only(method: string) {
  return (ctx: Context) => ctx.throw(405, `only ${method} is possible here`, { headers: { Allow: method } });
}
