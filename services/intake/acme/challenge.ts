import type { RouterContext } from '@koa/router';
import type { AcmeConfig } from '../../../shared/acme-server/acme-section.ts';
import { type Place, toChallengeObject } from '../../../shared/acme-server/order-objects.ts';
import type { Kept, Order, Orders } from '../../../shared/acme-server/orders.ts';
import {
  type ChallengePlace,
  findChallenge,
  isOpen,
  toAnnounced,
} from '../../../shared/acme-server/proofs.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { ClientChallenge } from '../../../shared/admission/client-proof.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { AcmeQueue } from '../../../shared/queue/acme-queue.ts';
import { notFound, ownPlace } from './order.ts';
import type { ByAccount } from './signed.ts';

/** Whole seconds after which a client may look again: most responses are seen at once. */
const LOOK_AGAIN = 1;

/**
 * A challenge, and the client's word that its response is there (RFC 8555 section 7.5.1). A worker then looks
 * for it; who says it again joins that.
 */
export function challengeRoute(parts: {
  acme: AcmeConfig;
  orders: Orders;
  urls: Urls;
  acmeQueue: Pick<AcmeQueue, 'enqueue'>;
}) {
  const { acme, orders, urls, acmeQueue } = parts;

  /** The job comes first: an intake that ends in between costs nothing, as a worker may look at once. */
  async function announce(ctx: RouterContext, by: ByAccount, kept: Kept & { place: Place }): Promise<Order> {
    const { order, place } = kept;
    const at: ChallengePlace = { authorization: place.at, challenge: ctx.params.type as ClientChallenge };
    if (!isOpen(order, at)) return order;
    const { requestId } = ctx.state;
    const job = {
      kind: 'proof',
      ...{ block: order.block, order: order.id },
      ...at,
      thumbprint: by.account.thumbprint,
      requestId,
    } as const;
    await acmeQueue.enqueue(job, acme.proof.tries);
    if (findChallenge(order, at)?.status === 'processing') return order;
    const after = toAnnounced(order, at);
    if (await needingRedis(() => orders.replace(kept, after))) return after;
    return (await needingRedis(() => orders.read(order.id)))?.order ?? order;
  }

  return async (ctx: RouterContext, by: ByAccount): Promise<void> => {
    const own = ownPlace(orders, ctx, by);
    const { type = '' } = ctx.params;
    const find = (order: Order) =>
      order.authorizations[own.place.at]?.challenges.find(one => one.type === type) ?? notFound('challenge');
    const first = find(own.order);
    const challenge = by.payload ? find(await announce(ctx, by, own)) : first;
    ctx.append('Link', `<${urls.authorization(own.order.id, own.place.at)}>;rel="up"`);
    if (challenge.status === 'processing') ctx.set('Retry-After', String(LOOK_AGAIN));
    ctx.body = toChallengeObject(challenge, own.place, urls);
  };
}
