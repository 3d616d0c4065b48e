import { problemKind } from '../acme/problem.ts';
import { IssuanceError } from '../base/errors.ts';
import { refuseHopeless } from './choose-challenge.ts';
import { newOrderState, type OrderState, type OrderTask } from './order-state.ts';
import type { OrderParts, OrderStep } from './order-step.ts';

/**
 * How CAs refuse to take an order for a replacement (RFC 9773 section 5): the certificate was replaced already, is none of
 * this account, or is none that they know, which Pebble calls an internal error. It may be renewed all the same, by an
 * order like any other.
 */
const replacementRefusals = new Set(['alreadyReplaced', 'unauthorized', 'malformed', 'serverInternal']);

/** Asks for the order; what nobody could prove is refused before. */
export async function createOrder(
  { acme, solvers }: OrderParts,
  task: OrderTask,
  state: OrderState,
): Promise<OrderStep> {
  refuseHopeless(task.identifiers, solvers);
  const { identifiers, certificateProfile: profile } = task;
  const replaces = state.replaced ? undefined : task.replaces;
  const fresh = newOrderState();
  try {
    const order = await acme.newOrder(identifiers, { profile, replaces });
    return {
      next: 'continue',
      state: { ...fresh, ...(state.replaced && { replaced: true }), url: order.url },
      seen: order,
    };
  } catch (error) {
    const refused = error instanceof IssuanceError && replacementRefusals.has(problemKind(error.problem));
    if (!refused || replaces === undefined) throw error;
    return { next: 'continue', state: { ...fresh, replaced: true } };
  }
}
