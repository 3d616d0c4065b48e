import { saysAccountIsGone } from '../acme/problem.ts';
import { IssuanceError } from '../base/errors.ts';
import { newOrderState } from './next-step.ts';
import type { Checkpoint } from './order-state.ts';

/** A new order is a new one to the CA's limits too. */
export function afterFailedStep(checkpoint: Checkpoint, withNewOrder: boolean): Checkpoint {
  const failures = checkpoint.failures + 1;
  if (!withNewOrder) return { ...checkpoint, failures };
  const lostOrders = checkpoint.lostOrders + 1;
  return { ...checkpoint, order: newOrderState(), turn: undefined, lostOrders, failures };
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
