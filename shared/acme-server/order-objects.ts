import type { Identifier } from '../base/identifier.ts';
import { toTime } from '../base/to-time.ts';
import type { Authorization, Order, OrderChallenge } from './orders.ts';
import type { Urls } from './urls.ts';

// Orders, authorizations and challenges as clients read them (RFC 8555 section 7.1).

/** RFC 8555 section 7.1.3, with the `replaces` of RFC 9773 section 5. */
export function toOrderObject(order: Order, urls: Urls) {
  const { id, status, expires, identifiers, profile, replaces, authorizations, certificate, error } = order;
  return {
    ...{ status, expires: toTime(expires), identifiers },
    ...(profile !== undefined && { profile }),
    ...(replaces !== undefined && { replaces }),
    authorizations: authorizations.map((_, at) => urls.authorization(id, at)),
    finalize: urls.finalize(id),
    ...(certificate !== undefined && { certificate: urls.certificate(certificate) }),
    ...(error && { error }),
  };
}

/** Of an order, with the identifier that it is for. */
export type Place = { order: Order; at: number; identifier: Identifier; authorization: Authorization };

/** @param at as its URL says it */
export function findPlace(order: Order, at: string | undefined): Place | undefined {
  if (at === undefined || !/^(0|[1-9]\d{0,2})$/.test(at)) return undefined;
  const [identifier, authorization] = [order.identifiers[Number(at)], order.authorizations[Number(at)]];
  return identifier && authorization && { order, at: Number(at), identifier, authorization };
}

/** RFC 8555 section 7.1.4: of a wildcard the name that is to be proven. */
export function toAuthorizationObject({ order, at, identifier, authorization }: Place, urls: Urls) {
  const { type, value } = identifier;
  const isWildcard = value.startsWith('*.');
  return {
    identifier: { type, value: isWildcard ? value.slice(2) : value },
    status: authorization.status,
    expires: toTime(order.expires),
    ...(isWildcard && { wildcard: true }),
    challenges: authorization.challenges.map(one => toChallengeObject(one, { order, at }, urls)),
  };
}

/** RFC 8555 section 8. */
export function toChallengeObject(
  { type, token, status, validated, error }: OrderChallenge,
  { order, at }: Pick<Place, 'order' | 'at'>,
  urls: Urls,
) {
  return {
    ...{ type, url: urls.challenge(order.id, at, type), status, token },
    ...(validated !== undefined && { validated: toTime(validated) }),
    ...(error && { error }),
  };
}
