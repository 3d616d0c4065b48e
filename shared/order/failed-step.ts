import { IssuanceError } from '../base/basics.ts';
import { newOrderState } from './next-step.ts';
import type { Checkpoint } from './order-state.ts';

export class TooSlowError extends IssuanceError {
  constructor() {
    super('unavailable', 'the CA does not finish the order within an hour');
  }
}

/** A new order is a new one to the CA's limits too. */
export function afterFailedStep(checkpoint: Checkpoint, withNewOrder: boolean): Checkpoint {
  const failures = checkpoint.failures + 1;
  if (!withNewOrder) return { ...checkpoint, failures };
  const lostOrders = checkpoint.lostOrders + 1;
  return { ...checkpoint, order: newOrderState(), turn: undefined, lostOrders, failures };
}

/** Milliseconds; a connection that breaks off sooner was closed before the request came. */
const AT_ONCE = 2_000;

/**
 * Whether a request that failed may have come through: the CA itself said nothing, as where it is slower than
 * our patience or than that of a proxy in front of it.
 *
 * @param took milliseconds from the request to its failure
 */
export const mayBeAtIt = (error: unknown, took: number) =>
  !(error instanceof IssuanceError) || // as the signal's reason
  (error.code === 'unavailable' && error.problem === undefined && took >= AT_ONCE);
