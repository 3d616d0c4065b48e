import Router, { type RouterContext } from '@koa/router';
import type { Context, Middleware } from 'koa';
import { openAccounts } from '../../../shared/acme-server/accounts.ts';
import type { AcmeConfig } from '../../../shared/acme-server/acme-section.ts';
import { openCertificates } from '../../../shared/acme-server/certificates.ts';
import { openKnownWindows } from '../../../shared/acme-server/known-windows.ts';
import { openNonces } from '../../../shared/acme-server/nonces.ts';
import { openOrders } from '../../../shared/acme-server/orders.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import { openUrls } from '../../../shared/acme-server/urls.ts';
import type { Admission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import type { Seals } from '../../../shared/admission/hmac.ts';
import type { Clock, Log } from '../../../shared/base/basics.ts';
import type { Store } from '../../../shared/base/redis.ts';
import { openInventory } from '../../../shared/inventory/inventory.ts';
import type { Issuing } from '../../../shared/issue/request-certificate.ts';
import type { AcmeQueue } from '../../../shared/queue/acme-queue.ts';
import type { RevokeQueue } from '../../../shared/queue/revoke-queue.ts';
import type { Trail } from '../../../shared/trail/trail.ts';
import type { Refusals } from '../refusals.ts';
import type { Clients, Waiting } from '../routes/sign.ts';
import { accountRoute, ordersRoute } from './account.ts';
import { acmeAnswers } from './answers.ts';
import { challengeRoute } from './challenge.ts';
import { directoryRoute } from './directory.ts';
import { orderRoutes } from './finalize.ts';
import { keyChangeRoute } from './key-change.ts';
import { newAccountRoute } from './new-account.ts';
import { newOrderRoute } from './new-order.ts';
import { authorizationRoute, certificateRoute } from './order.ts';
import { renewalInfoRoute } from './renewal-info.ts';
import { revokeCertRoute } from './revoke-cert.ts';
import { type ByAccount, type Handler, openSigned, type RecordKey } from './signed.ts';

/** What the routes are made of; each takes what it uses. */
export type AcmeParts = {
  acme: AcmeConfig;
  /** `[acme] url`, which is there. */
  url: string;
  auth: readonly AuthBlockConfig[];
  store: Store;
  seals: Seals;
  /** The installation's. */
  secret: Buffer;
  admission: Admission;
  /** Counts what it admits for the rates of the blocks. */
  ratedAdmission: Admission;
  clients: Clients;
  issuing: Issuing;
  revokeQueue: RevokeQueue;
  acmeQueue: AcmeQueue;
  waiting: Waiting;
  trail: Pick<Trail, 'write'>;
  refusals: Pick<Refusals, 'note'>;
  clock: Clock;
  log: Log;
};

type Route = (ctx: RouterContext) => void | Promise<void>;
type Routes = Partial<Record<'GET' | 'HEAD' | 'POST', Route>>;

/** The ACME server (RFC 8555 section 7), under the path of its URL. */
export function createAcmeRoutes(parts: AcmeParts): Middleware {
  const { url, store, seals, clock } = parts;
  const urls = openUrls(url);
  const nonces = openNonces(store, seals, clock);
  const accounts = openAccounts(store, seals, clock);
  const signed = openSigned({ urls, nonces, accounts, store });
  const directory = directoryRoute({ ...parts, urls });
  // The nonce itself is in each answer.
  const newNonce = (status: number) => (ctx: Context) => {
    ctx.status = status;
  };

  const router = new Router({ sensitive: true, strict: true, prefix: urls.path });
  const route = (path: string, routes: Routes) => router.all(path, byMethod(routes));
  route('/directory', {
    GET: directory,
    HEAD: directory,
    POST: signed.byEither(async ctx => directory(ctx)),
  });
  route('/new-nonce', {
    GET: newNonce(204),
    HEAD: newNonce(200),
    POST: signed.byEither(async ctx => newNonce(204)(ctx)),
  });
  route('/new-account', { POST: signed.byKey(newAccountRoute({ ...parts, urls, accounts })) });
  route('/account/:id', { POST: signed.byAccount(accountRoute({ urls, accounts, clock })) });
  route('/key-change', { POST: signed.byAccount(keyChangeRoute({ urls, accounts, clock })) });
  const orders = openOrders(store, seals, clock);
  const certificates = openCertificates(store, seals);
  const { order, finalize } = orderRoutes({ ...parts, urls, orders, certificates });
  const orderKey: RecordKey = params => orders.key(params.order ?? '');
  const certificateKey: RecordKey = params => certificates.key(params.fingerprint ?? '');
  const post = (path: string, handler: Handler<ByAccount>, recordKey?: RecordKey) =>
    route(path, { POST: signed.byAccount(handler, recordKey) });
  post('/account/:id/orders', ordersRoute({ orders, urls }));
  post('/new-order', newOrderRoute({ ...parts, urls, orders, certificates }));
  post('/order/:order', order, orderKey);
  post('/order/:order/finalize', finalize, orderKey);
  post('/authz/:order/:at', authorizationRoute({ orders, urls }), orderKey);
  post('/challenge/:order/:at/:type', challengeRoute({ ...parts, orders, urls }), orderKey);
  post('/certificate/:fingerprint', certificateRoute({ certificates }), certificateKey);
  const inventory = openInventory(store);
  const revokeCert = revokeCertRoute({ ...parts, certificates, inventory, admission: parts.ratedAdmission });
  const windows = openKnownWindows(store, seals);
  route('/renewal-info/:id', { GET: renewalInfoRoute({ ...parts, certificates, windows }) });
  route('/revoke-cert', { POST: signed.byEither(revokeCert) });
  const find = router.routes() as Middleware;
  const answers = acmeAnswers({ ...parts, urls, nonces });
  const notFound = () => {
    throw new AcmeError('malformed', `no such path; the directory is ${urls.directory}`, { status: 404 });
  };
  return (ctx, next) =>
    `${ctx.path}/`.startsWith(`${urls.path}/`) ? answers(ctx, () => find(ctx, notFound)) : next();
}

function byMethod(routes: Routes): Route {
  const allowed = Object.keys(routes).join(', ');
  return ctx => {
    const route = routes[ctx.method as keyof Routes];
    if (route) return route(ctx);
    throw new AcmeError('malformed', `only ${allowed} is possible here`, {
      status: 405,
      headers: { Allow: allowed },
    });
  };
}
