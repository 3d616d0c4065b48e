import { randomBytes } from 'node:crypto';
import type { Context } from 'koa';
import type { AcmeConfig } from '../../../shared/acme-server/acme-section.ts';
import type { Certificates } from '../../../shared/acme-server/certificates.ts';
import { parseIdentifiers, parseProfile, refuseTimes } from '../../../shared/acme-server/new-order.ts';
import { toOrderObject } from '../../../shared/acme-server/order-objects.ts';
import { ORDER_LIFE, type Order, type Orders } from '../../../shared/acme-server/orders.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import { findReplaced, parseReplaces, refuseReplaced } from '../../../shared/acme-server/replaces.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { Admission } from '../../../shared/admission/admit.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import type { IssuanceError } from '../../../shared/base/errors.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { Issuing } from '../../../shared/issue/request-certificate.ts';
import type { AcmeQueue } from '../../../shared/queue/acme-queue.ts';
import type { Clients, Waiting } from '../routes/sign.ts';
import { admitNames, blocksOf } from './admit-order.ts';
import { openBeginProof } from './begin-proof.ts';
import type { ByAccount } from './signed.ts';

/** newOrder (RFC 8555 section 7.4): all that can be refused is, before an order is taken. */
export function newOrderRoute(parts: {
  acme: AcmeConfig;
  urls: Urls;
  orders: Orders;
  certificates: Pick<Certificates, 'findByRenewalId'>;
  ratedAdmission: Admission;
  clients: Clients;
  issuing: Pick<Issuing, 'limitAgainst'>;
  acmeQueue: Pick<AcmeQueue, 'enqueue' | 'result'>;
  waiting: Waiting;
  clock: Clock;
}) {
  const { acme, urls, orders, certificates, ratedAdmission: admission, clients, issuing, clock } = parts;
  const begin = openBeginProof(parts);

  return async (ctx: Context, { account, payload }: ByAccount): Promise<void> => {
    if (!payload) throw new AcmeError('malformed', 'newOrder needs a payload');
    const identifiers = parseIdentifiers(payload.identifiers);
    ctx.state.names = identifiers.map(({ value }) => value);
    refuseTimes(payload);
    const profile = parseProfile(payload.profile, acme.profiles);
    const replaces = parseReplaces(payload.replaces);
    const blocks = await blocksOf(ctx, { admission, clients }, account);
    const block = admitNames(ctx, admission, blocks, identifiers);
    const limit = await issuing.limitAgainst(block, identifiers);
    if (limit) throw toRateLimited(limit);

    const replacing = { account: account.id, identifiers, replaces };
    refuseReplaced(await needingRedis(() => findReplaced(certificates, replacing)));

    const [now, { client }] = [clock.now(), ctx.state];
    const authorizations = await begin(ctx, block, identifiers);
    const isReady = authorizations.every(({ status }) => status === 'valid');
    const order: Order = {
      ...{ id: newOrderId(), account: account.id, identifiers, status: isReady ? 'ready' : 'pending' },
      ...{ created: now, expires: now + ORDER_LIFE, block: block.name, client },
      ...(profile !== undefined && { profile }),
      ...(replaces !== undefined && { replaces }),
      authorizations,
    };
    const full = await needingRedis(() => orders.create(order));
    if (full !== undefined) throw refuseFull(full);
    ctx.status = 201;
    ctx.set('Location', urls.order(order.id));
    ctx.body = toOrderObject(order, urls);
  };
}

/** Unguessable. */
const newOrderId = () => randomBytes(16).toString('base64url');

/** What stands against names is waited out, whatever they have met; the rest is said as it is. */
export function toRateLimited(limit: IssuanceError): AcmeError | IssuanceError {
  const { retryAfter, message, code } = limit;
  const isRate = code === 'rateLimited' || code === 'challengeFailed';
  return isRate ? new AcmeError('rateLimited', message, { retryAfter, cause: limit }) : limit;
}

const refuseFull = (retryAfter: number) =>
  new AcmeError('rateLimited', 'the account has too many orders that are not finished, or have just failed', {
    retryAfter,
  });
