import { IssuanceError, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Budget } from '../../shared/limits/budget.ts';
import type { LimitedOrder } from '../../shared/limits/limited-order.ts';
import { type Limit, type Limits, StandingLimitError } from '../../shared/limits/limits.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import type { Notices } from '../../shared/queue/notices.ts';

/**
 * Keeps for the whole fleet what a failure says of the CA's limits, so that nobody runs into the same one again.
 *
 * @param unanswered whether Redis was away while the CA looked at challenges, so that no responder could have answered it;
 *   then a failed validation says nothing of the names, and the order is as good as lost
 * @returns the error to tell the client, with the time to try again where that is known now
 */
export async function rememberLimits(
  {
    limits,
    budget,
    notices,
    log,
  }: { limits: Limits; budget: Budget; notices: Pick<Notices, 'notify'>; log: Log },
  order: LimitedOrder,
  error: unknown,
  unanswered: boolean,
): Promise<unknown> {
  if (!(error instanceof IssuanceError) || error instanceof StandingLimitError) return error;
  if (error.code === 'rateLimited' || (error.code === 'unavailable' && error.retryAfter !== undefined)) {
    for (const limit of await limits.park(order, error)) {
      const { key, until, detail } = limit;
      log.warn({ limit: key, until: until && new Date(until), reason: detail }, 'the CA asks for patience');
      if (until === undefined) await notices.notify(toEvent(limit));
    }
  }
  // Without the CA's problem it was Quarry's own look that failed, which costs nobody anything.
  if (error.code !== 'challengeFailed' || !error.problem) return error;
  await budget.spendFailures(failedNames(error.problem));
  if (unanswered) {
    const detail = `the CA looked at the challenges while Redis was away: ${error.message}`;
    return new IssuanceError('gone', detail, { cause: error, problem: error.problem });
  }
  const retryAfter = await limits.recordFailure(order, error);
  return new IssuanceError(error.code, error.message, {
    cause: error.cause,
    problem: error.problem,
    retryAfter,
  });
}

/** A limit that only a person can end. */
function toEvent({ key, names, detail }: Limit): NotifyEvent {
  const [, name] = /^name\/(.*)$/.exec(key) ?? [];
  const mended = `once that is mended: quarry limits clear ${key} FILE`;
  const said = `${detail} (${mended})`;
  return { kind: 'account-paused', subject: key, names: name === undefined ? names : [name], detail: said };
}

function failedNames(problem: Problem | undefined): string[] {
  return [problem, ...(problem?.subproblems ?? [])].flatMap(one => one?.identifier?.value ?? []);
}
