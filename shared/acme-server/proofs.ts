import type { ClientChallenge } from '../admission/client-proof.ts';
import type { Problem } from '../base/errors.ts';
import type { Authorization, Order, OrderChallenge } from './orders.ts';

// How proofs of the names by the client change an order (RFC 8555 section 7.1.6).

/** Of one challenge: its place among the authorizations of an order, and its type. */
export type ChallengePlace = { authorization: number; challenge: ClientChallenge };

export function findChallenge(
  { authorizations }: Order,
  { authorization, challenge }: ChallengePlace,
): OrderChallenge | undefined {
  return authorizations[authorization]?.challenges.find(({ type }) => type === challenge);
}

/** Whether there still is something to prove by this challenge. */
export function isOpen(order: Order, place: ChallengePlace): boolean {
  const { status } = findChallenge(order, place) ?? {};
  const isUnproven = order.authorizations[place.authorization]?.status === 'pending';
  return order.status === 'pending' && isUnproven && (status === 'pending' || status === 'processing');
}

/** The client says that its response is there. */
export const toAnnounced = (order: Order, place: ChallengePlace): Order =>
  withChallenge(order, place, challenge => ({ ...challenge, status: 'processing' }));

/** The response was seen. The order is ready with its last authorization. */
export function toProven(order: Order, place: ChallengePlace, now: number): Order {
  const proven = withChallenge(order, place, ({ error: _, ...challenge }) => ({
    ...challenge,
    ...{ status: 'valid', validated: now },
  }));
  const after = withAuthorization(proven, place, { status: 'valid', proof: place.challenge });
  return after.authorizations.every(({ status }) => status === 'valid')
    ? { ...after, status: 'ready' }
    : after;
}

/** The response was not seen, and is looked for again (RFC 8555 section 8.2). */
export const toUnseen = (order: Order, place: ChallengePlace, problem: Problem): Order =>
  withChallenge(order, place, challenge => ({
    ...challenge,
    ...{ status: 'processing', error: addProblem(challenge.error, problem) },
  }));

/** The response was not seen, and is not looked for any more: a client has to begin with a new order. */
export function toUnproven(order: Order, place: ChallengePlace, problem: Problem): Order {
  const failed = withChallenge(order, place, challenge => ({
    ...challenge,
    ...{ status: 'invalid', error: addProblem(challenge.error, problem) },
  }));
  const identifier = order.identifiers[place.authorization];
  // RFC 8555 section 6.7.1: only a subproblem says whose it is.
  const error = { ...problem, ...(identifier && { subproblems: [{ ...problem, identifier }] }) };
  return { ...withAuthorization(failed, place, { status: 'invalid' }), status: 'invalid', error };
}

/** The last problem counts; where those before it were others, all of them are below it. */
function addProblem(before: Problem | undefined, problem: Problem): Problem {
  const seen = before?.subproblems ?? (before ? [before] : []);
  const others = seen.filter(({ type, detail }) => type !== problem.type || detail !== problem.detail);
  return others.length > 0 ? { ...problem, subproblems: [...others, problem] } : problem;
}

function withChallenge(
  order: Order,
  place: ChallengePlace,
  change: (challenge: OrderChallenge) => OrderChallenge,
): Order {
  const { challenges = [] } = order.authorizations[place.authorization] ?? {};
  const changed = challenges.map(one => (one.type === place.challenge ? change(one) : one));
  return withAuthorization(order, place, { challenges: changed });
}

function withAuthorization(
  order: Order,
  { authorization: at }: ChallengePlace,
  change: Partial<Authorization>,
): Order {
  const authorizations = order.authorizations.map((one, index) =>
    index === at ? { ...one, ...change } : one,
  );
  return { ...order, authorizations };
}
