import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { problemKind, saysAccountIsGone, toCsrFault } from '../acme/problem.ts';
import type { Clock } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Ca } from '../ca/open-ca.ts';
import type { Claim } from '../limits/budget.ts';
import { describeShortage } from '../limits/describe-shortage.ts';
import { StandingLimitError } from '../limits/limits.ts';
import {
  chooseChallenges,
  fetchAuthorizations,
  type PresentParts,
  refuseHopeless,
  startChallenges,
  withdrawAll,
} from './challenges.ts';
import { toUnfetched } from './failed-step.ts';
import { lookAgain, lookAtAuthorizations } from './look.ts';
import { isOver } from './next-step.ts';
import { authorizationFailure, notOurs, orderFailure } from './order-failure.ts';
import type { Act, Checkpoint, OrderState, OrderTask, Seen } from './order-state.ts';

/** `waits`: the claim has a place before the limit, and is to come again at `limit.retryAfter`. */
export type Permission =
  | { may: true; turn: NonNullable<Checkpoint['turn']> }
  | { may: false; limit: StandingLimitError; waits: boolean };

/**
 * Whether a new order may be sent to a CA: no limit stands against it, and what the CA allows is not used up.
 * A renewal that the CA exempts (RFC 9773 section 5) counts for nothing; all else is counted, once for all
 * tries to make the order.
 *
 * @param standing the limit that is known to stand against it
 * @param order `renews`: whether it says which certificate it replaces; `turn`: what an earlier try was told
 */
export async function mayOrder(
  { budget, directory }: Pick<Ca, 'budget' | 'directory'>,
  standing: StandingLimitError | undefined,
  identifiers: Identifier[],
  order: { renews: boolean; turn: Checkpoint['turn'] },
  claim: Claim,
  signal: AbortSignal,
): Promise<Permission> {
  if (standing) return { may: false, limit: standing, waits: false };
  if (order.turn) return { may: true, turn: order.turn };
  if (order.renews && (await directory(signal)).urls.renewalInfo !== undefined) {
    return { may: true, turn: 'exempt' };
  }
  const shortage = await budget.takeOrder(identifiers, claim);
  if (!shortage) return { may: true, turn: 'counted' };
  const { key, until, waits } = shortage;
  const detail = describeShortage(key);
  return { may: false, limit: new StandingLimitError('rateLimited', detail, { retryAfter: until }), waits };
}

/** Needed to drive an order. */
export type OrderParts = PresentParts & {
  acme: AcmeClient;
  clock: Clock;
  /** Ends every request and every look. */
  signal: AbortSignal;
  /** Asked before what must not be done twice; rejects when somebody else has the order by now. */
  confirm?: () => Promise<void>;
};

/**
 * Does what is to be done with an order next, but for waiting and ending.
 *
 * @throws IssuanceError when the order cannot be had, or cannot be had now
 */
export async function perform(
  parts: OrderParts,
  task: OrderTask,
  checkpoint: Checkpoint,
  act: Exclude<Act, { do: 'wait' | 'end' }>,
): Promise<Seen> {
  const { order: state } = checkpoint;
  switch (act.do) {
    case 'create':
      return createOrder(parts, task, state);
    case 'ask':
      return { saw: 'order', order: await parts.acme.getOrder(state.url ?? '') };
    case 'choose':
      return choose(parts, task, checkpoint, act.order);
    case 'start':
      return startChallenges(parts, state);
    case 'look':
      return lookAtAuthorizations(parts, task, checkpoint, act.order);
    case 'finalize':
      return finalize(parts, task, state, act.order);
    case 'download':
      return download(parts, task, state, act.order);
    case 'fail':
      throw await failureOf(parts, task, state, act.order);
  }
}

async function choose(
  { acme, solvers }: OrderParts,
  { identifiers }: OrderTask,
  { order: state, lostOrders }: Checkpoint,
  order: AcmeOrder,
): Promise<Seen> {
  const found = await fetchAuthorizations(acme, order, identifiers);
  if (found.some(({ authorization }) => isOver(authorization)))
    throw authorizationFailure(found, state, lostOrders);
  return { saw: 'challenges', challenges: chooseChallenges(found, solvers, state.challenges) };
}

/** Quarry's own look at what is still presented says more than the CA alone. */
async function failureOf(
  parts: OrderParts,
  { identifiers }: OrderTask,
  state: OrderState,
  order: AcmeOrder,
): Promise<IssuanceError> {
  const faults = await lookAgain(parts, state.challenges);
  return notOurs(await orderFailure(parts.acme, order, identifiers, faults), state);
}

/**
 * Whether the CA refuses to take an order for a replacement (RFC 9773 section 5): the certificate was
 * replaced already, is none of this account, or is none that they know. CAs say so in any way, Pebble even as
 * an internal error: only a limit, a lost account and a CA that is away would meet another order as well.
 */
function isReplacementRefusal(error: unknown): boolean {
  if (!(error instanceof IssuanceError) || saysAccountIsGone(error)) return false;
  const passes = error.code === 'rateLimited' || error.code === 'unavailable';
  return !passes || problemKind(error.problem) === 'serverInternal';
}

/** Asks for the order; names that no solver could prove are refused before. */
async function createOrder({ acme, solvers }: OrderParts, task: OrderTask, state: OrderState): Promise<Seen> {
  const { identifiers, certificateProfile: profile } = task;
  refuseHopeless(identifiers, solvers);
  const replaces = state.replaced ? undefined : task.replaces;
  try {
    return { saw: 'order', order: await acme.newOrder(identifiers, { profile, replaces }) };
  } catch (error) {
    if (replaces === undefined || !isReplacementRefusal(error)) throw toCsrFault(error, ['malformed']);
    return { saw: 'replacementRefused' };
  }
}

/** The CA's requests are over once the order is ready, so the responses go before anything else happens. */
async function finalize(
  parts: OrderParts,
  task: OrderTask,
  { challenges }: OrderState,
  order: AcmeOrder,
): Promise<Seen> {
  await withdrawAll(parts, challenges);
  await parts.confirm?.();
  try {
    return { saw: 'finalized', order: await parts.acme.finalize(order, task.csr) };
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    const { problem, retryAfter } = error;
    const notReady = { saw: 'finalized', order: { ...order, retryAfter }, notReady: true } as const;
    if (problemKind(problem) === 'orderNotReady') return notReady;
    // A CA says `unauthorized` that reads other names out of the CSR than were ordered: Pebble passes over a
    // CN.
    throw toCsrFault(error, ['malformed', 'unauthorized']);
  }
}

async function download(
  parts: OrderParts,
  { preferredChain, accept }: OrderTask,
  { challenges }: OrderState,
  { certificate }: AcmeOrder,
): Promise<Seen> {
  if (!certificate) {
    throw new IssuanceError('unexpected', 'the CA calls the order valid but names no certificate');
  }
  const chain = await parts.acme.downloadChain(certificate, preferredChain, parts.warn).catch(error => {
    throw toUnfetched(error);
  });
  accept?.(chain);
  await withdrawAll(parts, challenges);
  return { saw: 'chain', chain, certificate };
}
