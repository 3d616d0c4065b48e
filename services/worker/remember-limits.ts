import { IssuanceError, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Budget } from '../../shared/limits/budget.ts';
import type { LimitedOrder } from '../../shared/limits/limited-order.ts';
import { type Limits, StandingLimitError } from '../../shared/limits/limits.ts';

/**
 * Keeps for the whole fleet what a failure says of the CA's limits, so that nobody runs into the same one again.
 *
 * @returns the error to tell the client, with the time to try again where that is known now
 */
export async function rememberLimits(
  { limits, budget, log }: { limits: Limits; budget: Budget; log: Log },
  order: LimitedOrder,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof IssuanceError) || error instanceof StandingLimitError) return error;
  if (error.code === 'rateLimited' || (error.code === 'unavailable' && error.retryAfter !== undefined)) {
    for (const { key, until, detail } of await limits.park(order, error)) {
      log.warn({ limit: key, until: until && new Date(until), reason: detail }, 'the CA asks for patience');
    }
  }
  // Without the CA's problem it was Quarry's own look that failed, which costs nobody anything.
  if (error.code !== 'challengeFailed' || !error.problem) return error;
  await budget.spendFailures(failedNames(error.problem));
  const retryAfter = await limits.recordFailure(order, error);
  return new IssuanceError(error.code, error.message, { cause: error.cause, problem: error.problem, retryAfter });
}

function failedNames(problem: Problem | undefined): string[] {
  return [problem, ...(problem?.subproblems ?? [])].flatMap(one => one?.identifier?.value ?? []);
}
