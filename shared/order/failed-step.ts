import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { problemKind, saysAccountIsGone, toCsrFault } from '../acme/problem.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { type PresentParts, withdrawAll } from './challenges.ts';
import { lookAgain } from './look.ts';
import { leftState, newOrderState } from './next-step.ts';
import { notOurs, orderFailure } from './order-failure.ts';
import type { Checkpoint, OrderState, OrderTask, Seen } from './order-state.ts';

// What a step that failed means for the order.

/** A new order is a new one to the CA's limits too. */
export function afterFailedStep(checkpoint: Checkpoint, withNewOrder: boolean): Checkpoint {
  const failures = checkpoint.failures + 1;
  if (!withNewOrder) return { ...checkpoint, failures };
  const lostOrders = checkpoint.lostOrders + 1;
  return { ...checkpoint, order: newOrderState(), turn: undefined, lostOrders, failures };
}

/** An order that has not ended may still be good: a later drive presents all anew. */
export function afterGivingUp(checkpoint: Checkpoint, hasEnded: boolean): Checkpoint {
  const failed = afterFailedStep(checkpoint, hasEnded);
  return hasEnded ? failed : { ...failed, order: leftState(checkpoint.order) };
}

/** A failure to withdraw is warned of, no more. */
export async function withdrawAfterFailure(
  parts: PresentParts,
  { challenges, url }: OrderState,
): Promise<void> {
  await withdrawAll(parts, challenges).catch(error => {
    const reason = describeError(error);
    parts.warn?.(`challenge responses of order ${url} remain until they expire: ${reason}`);
  });
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

/** Of newOrder. @throws the error, as the client is to know it, unless the order can do without `replaces` */
export function afterRefusedOrder(error: unknown, replaces: string | undefined): Seen {
  if (replaces !== undefined && isReplacementRefusal(error)) return { saw: 'replacementRefused' };
  throw toCsrFault(error, ['malformed']);
}

/** Of finalize. @throws the error, as the client is to know it, unless the order is only not ready yet */
export function afterRefusedFinalize(error: unknown, order: AcmeOrder): Seen {
  if (!(error instanceof IssuanceError)) throw error;
  const { problem, retryAfter } = error;
  const notReady = { saw: 'finalized', order: { ...order, retryAfter }, notReady: true } as const;
  if (problemKind(problem) === 'orderNotReady') return notReady;
  // A CA says `unauthorized` that reads other names out of the CSR than were ordered: Pebble passes over a
  // CN.
  throw toCsrFault(error, ['malformed', 'unauthorized']);
}

/**
 * A certificate that is issued is asked for again and never ordered anew, whatever the CA says in its place:
 * it is the same certificate tomorrow.
 */
export function toUnfetched(error: unknown): unknown {
  const isPassing = !(error instanceof IssuanceError) || error.code === 'unavailable';
  if (isPassing || saysAccountIsGone(error)) return error;
  const { message, problem, retryAfter } = error;
  const detail = `the certificate cannot be fetched: ${message}`;
  return new IssuanceError('unavailable', detail, { cause: error, problem, retryAfter });
}

/** Why an order is invalid. Quarry's own look at what is still presented says more than the CA alone. */
export async function failureOf(
  parts: PresentParts & { acme: AcmeClient },
  { identifiers }: OrderTask,
  state: OrderState,
  order: AcmeOrder,
): Promise<IssuanceError> {
  const faults = await lookAgain(parts, state.challenges);
  return notOurs(await orderFailure(parts.acme, order, identifiers, faults), state);
}
