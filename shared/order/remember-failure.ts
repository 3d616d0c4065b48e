import { IssuanceError, type Problem } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Ca } from '../ca/open-ca.ts';
import { type Limit, type Orderer, StandingLimitError } from '../limits/limits.ts';
import type { NotifyEvent } from '../notify/message.ts';
import { SolverAwayError } from './solver-failure.ts';

/**
 * Keeps for the whole fleet what a failure says of the CA's limits, so that no other order runs into the same
 * one.
 *
 * @param orderer who ordered, and how
 * @param unanswered whether Redis was away while the CA looked at challenges, so that no responder could have
 *   answered it; then a failed validation says nothing of the names, and the order is as good as lost
 * @param onLimit gets each limit that the CA told, and the one that the failure has made for its auth block
 * @returns the error for the client, with the time to try again where that is known now
 */
export async function rememberFailure(
  { limits, budget }: Pick<Ca, 'limits' | 'budget'>,
  identifiers: Identifier[],
  orderer: Orderer,
  error: unknown,
  unanswered: boolean,
  onLimit: (limit: Limit) => Promise<void>,
): Promise<unknown> {
  if (!(error instanceof IssuanceError)) return error;
  if (error instanceof StandingLimitError || error instanceof SolverAwayError) return error;
  const { code, message, problem, cause } = error;
  if (code === 'rateLimited' || (code === 'unavailable' && error.retryAfter !== undefined)) {
    for (const limit of await limits.park(identifiers, orderer, error)) await onLimit(limit);
  }
  if (code !== 'challengeFailed') return error;
  const slow = unanswered ? undefined : await limits.countFailedOrder(identifiers, orderer, error);
  if (slow) await onLimit(slow);
  // Without the CA's problem it was Quarry's own look that failed, which costs no limit.
  if (!problem) return error;
  await budget.spendFailures(failedNames(problem));
  if (unanswered) {
    const detail = `the CA looked at the challenges while Redis was away: ${message}`;
    return new IssuanceError('gone', detail, { cause: error, problem });
  }
  const retryAfter = await limits.recordFailure(identifiers, orderer, error);
  return new IssuanceError(code, message, { cause, problem, retryAfter });
}

function failedNames(problem: Problem): string[] {
  return [problem, ...(problem.subproblems ?? [])].flatMap(one => one.identifier?.value ?? []);
}

/**
 * What an operator is told of a limit that only a person can end; `undefined` for one that ends by itself.
 */
export function toPausedEvent({ key, until, detail, names }: Limit): NotifyEvent | undefined {
  if (until !== undefined) return undefined;
  const name = /^name\/(.*)@/.exec(key)?.[1];
  const said = `${detail} (once that is mended: quarry limits clear ${key} FILE)`;
  const affected = name === undefined ? names : [name];
  return { kind: 'account-paused', subject: key, names: affected, detail: said };
}
