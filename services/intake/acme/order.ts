import type { RouterContext } from '@koa/router';
import type { Context } from 'koa';
import type { Certificates } from '../../../shared/acme-server/certificates.ts';
import {
  findPlace,
  type Place,
  toAuthorizationObject,
  toOrderObject,
} from '../../../shared/acme-server/order-objects.ts';
import type { Kept, Order, Orders } from '../../../shared/acme-server/orders.ts';
import { AcmeError, toProblem } from '../../../shared/acme-server/problem.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { ByAccount } from './signed.ts';

// What an account reads of its orders, and the one thing that it may change: to give up an authorization.

/** Whole seconds after which an order at work is worth another look. */
const LOOK_AGAIN = 3;

/**
 * The order of a URL.
 *
 * @throws AcmeError as Boulder does: `malformed` with 404, with the same words for that of another account
 */
export function ownOrder(orders: Pick<Orders, 'parse'>, id: string, { account, text }: ByAccount): Kept {
  const kept = orders.parse(id, text);
  return kept?.order.account === account.id ? kept : notFound('order');
}

export function notFound(what: string): never {
  throw new AcmeError('malformed', `this account has no such ${what}`, { status: 404 });
}

export function answerOrder(ctx: Context, order: Order, urls: Urls): void {
  ctx.state.names = order.identifiers.map(({ value }) => value);
  ctx.state.job = order.job;
  ctx.status = 200;
  ctx.set('Location', urls.order(order.id)); // some clients look for it in each answer
  if (order.status === 'processing') ctx.set('Retry-After', String(LOOK_AGAIN));
  ctx.body = toOrderObject(order, urls);
}

/** The authorization of a URL. @throws AcmeError as `ownOrder` does */
export function ownPlace(
  orders: Pick<Orders, 'parse'>,
  ctx: RouterContext,
  by: ByAccount,
): Kept & { place: Place } {
  const kept = ownOrder(orders, ctx.params.order ?? '', by);
  const place = findPlace(kept.order, ctx.params.at);
  return place ? { ...kept, place } : notFound('authorization');
}

const OVER = toProblem(
  new AcmeError('unauthorized', 'the client has deactivated an authorization of the order'),
);

/** An order that nobody has finalized yet needs all of its authorizations (RFC 8555 section 7.1.6). */
function withoutAuthorization(order: Order, at: number): Order {
  const authorizations = order.authorizations.map((one, index) =>
    index === at ? { ...one, status: 'deactivated' as const } : one,
  );
  const isOpen = order.status === 'pending' || order.status === 'ready';
  return { ...order, authorizations, ...(isOpen && { status: 'invalid', error: OVER }) };
}

/** The authorization of an order (RFC 8555 section 7.5), and its deactivation (section 7.5.2). */
export function authorizationRoute({ orders, urls }: { orders: Orders; urls: Urls }) {
  async function deactivate(
    ctx: RouterContext,
    by: ByAccount,
    { order, text, place }: Kept & { place: Place },
  ) {
    for (let kept: Kept = { order, text }; ; ) {
      const after = withoutAuthorization(kept.order, place.at);
      const isOver = after.status === 'invalid';
      const write = () => (isOver ? orders.end(kept, { order: after }) : orders.replace(kept, after));
      if (await needingRedis(write)) return ownPlaceOf(after, place.at);
      const read = await needingRedis(() => orders.read(order.id));
      kept = ownPlace(orders, ctx, { ...by, text: read?.text });
    }
  }

  return async (ctx: RouterContext, by: ByAccount): Promise<void> => {
    const own = ownPlace(orders, ctx, by);
    const { payload } = by;
    if (payload && payload.status !== 'deactivated')
      throw new AcmeError('malformed', 'an authorization can only be read, or have its status deactivated');
    const isOver = own.place.authorization.status === 'deactivated';
    const place = payload && !isOver ? await deactivate(ctx, by, own) : own.place;
    const isLookedFor = place.authorization.challenges.some(({ status }) => status === 'processing');
    if (isLookedFor) ctx.set('Retry-After', String(LOOK_AGAIN));
    ctx.body = toAuthorizationObject(place, urls);
  };
}

const ownPlaceOf = (order: Order, at: number): Place =>
  findPlace(order, String(at)) ?? notFound('authorization');

/** The certificate of an order (RFC 8555 section 7.4.2), for as long as it lives, revoked or not. */
export function certificateRoute({ certificates }: { certificates: Certificates }) {
  return async (ctx: RouterContext, { account, text }: ByAccount): Promise<void> => {
    const certificate = certificates.parse(ctx.params.fingerprint ?? '', text);
    if (certificate?.account !== account.id) return notFound('certificate');
    ctx.state.names = certificate.names;
    ctx.set('Content-Type', 'application/pem-certificate-chain');
    ctx.body = certificate.chain;
  };
}
