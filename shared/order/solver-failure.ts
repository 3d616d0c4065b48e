import { IssuanceError } from '../base/errors.ts';

/**
 * What answers challenges could not be reached, as a DNS server, or what the names' own DNS leads to: it says
 * nothing of the CA, to which other orders go.
 */
export class SolverAwayError extends IssuanceError {}

/** @param error what a solver threw */
export function ofSolver(error: unknown): unknown {
  if (!(error instanceof IssuanceError) || error.code !== 'unavailable') return error;
  const { code, message, problem, retryAfter } = error;
  return new SolverAwayError(code, message, { cause: error, problem, retryAfter });
}
