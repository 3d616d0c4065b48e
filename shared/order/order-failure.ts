import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { reactionTo } from '../acme/problem.ts';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import { adviseOnChallenge } from './challenge-advice.ts';
import { type Authorized, fetchAuthorizations } from './challenges.ts';
import { isOver } from './next-step.ts';
import type { OrderState } from './order-state.ts';

/** The order itself is over: whatever is tried next needs a new one. */
export class OrderEndedError extends IssuanceError {}

/** What Quarry's own look at the challenge responses found, by name. */
type Faults = ReadonlyMap<string, string>;

/**
 * Why an order became invalid: the failed challenges, each with its name, or else what the order itself says.
 *
 * @param identifiers what was ordered
 */
export async function orderFailure(
  acme: Pick<AcmeClient, 'getAuthorization'>,
  order: AcmeOrder,
  identifiers: readonly Identifier[],
  faults: Faults = new Map(),
): Promise<OrderEndedError> {
  const found = await fetchAuthorizations(acme, order, identifiers).catch(passOver);
  const { error } = order;
  const failed = found.flatMap(one => failuresOf(one, error === undefined));
  if (failed.length > 0) return toFailure(failed, faults);
  const said = error?.detail ?? error?.type ?? 'it gave no reason';
  const options = { problem: error, retryAfter: order.retryAfter };
  return new OrderEndedError(codeOf(error), `the CA ended the order: ${said}`, options);
}

/** Then the order speaks for itself. */
function passOver(error: unknown): Authorized[] {
  if (error instanceof IssuanceError && ['gone', 'unexpected'].includes(error.code)) return [];
  throw error;
}

/** What ended an order asks for the same as the same answer to a request, but that there is no order then. */
function codeOf(error: Problem | undefined): IssuanceErrorCode {
  const code = reactionTo(error);
  if (code === 'unavailable') return 'gone';
  return ['rateLimited', 'badCsr', 'gone', 'challengeFailed'].includes(code) ? code : 'denied';
}

/**
 * Why an order with an authorization that is over, or whose challenges have failed too often, comes to
 * nothing. CAs hand one pending order to all who ask for its names: of what somebody else made of it a new
 * order knows nothing, as a rule.
 *
 * @param lostOrders how often this job has begun anew
 */
export function authorizationFailure(
  found: Authorized[],
  { initiated }: OrderState,
  lostOrders: number,
  faults: Faults = new Map(),
): OrderEndedError {
  const failure = toFailure(
    found.flatMap(one => failuresOf(one, true)),
    faults,
  );
  const isOurs = initiated && found.every(({ authorization: { status } }) => !dead.includes(status));
  if (isOurs || lostOrders > 0) return failure;
  const detail = `the CA handed out an order that cannot be proven any more: ${failure.message}`;
  return new OrderEndedError('gone', detail, { cause: failure });
}

const dead = ['deactivated', 'expired', 'revoked'];

type Failed = {
  problem: Problem;
  /** What to do about it, where that is known. */
  advice?: string | undefined;
};

/** @param isTold whether also an authorization that failed without a word of the CA counts */
function failuresOf(one: Authorized, isTold: boolean): Failed[] {
  const { identifier, authorization } = one;
  const challenge = authorization.challenges.find(({ error }) => error);
  if (challenge?.error) {
    const { type, error } = challenge;
    return [{ problem: { ...error, identifier }, advice: adviseOnChallenge(type, error) }];
  }
  if (!isTold || !isOver(authorization)) return [];
  const what = dead.includes(authorization.status)
    ? `the CA calls the authorization ${authorization.status}`
    : 'the CA calls the challenge invalid, and gives no reason';
  return [{ problem: { type: 'about:blank', detail: what, identifier } }];
}

function toFailure(failed: Failed[], faults: Faults): OrderEndedError {
  const problems = failed.map(({ problem }) => problem);
  const lines = problems.map(problem => toLine(problem, faults)).join('; ');
  const advice = new Set(failed.flatMap(one => one.advice ?? []));
  const detail = [lines, ...advice].join(': ');
  return new OrderEndedError('challengeFailed', detail, { problem: toProblem(problems) });
}

function toLine({ identifier, detail, type }: Problem, faults: Faults): string {
  const name = identifier?.value ?? '';
  const fault = faults.get(name);
  return `${name}: ${detail ?? type}${fault ? ` (${fault})` : ''}`;
}

/** RFC 8555 section 6.7.1: several problems travel as subproblems of a compound one. */
function toProblem(failed: Problem[]): Problem {
  const [only] = failed;
  if (only && failed.length === 1) return only;
  return {
    type: 'urn:ietf:params:acme:error:compound',
    detail: 'several challenges failed',
    subproblems: failed,
  };
}

/**
 * CAs hand one pending order to all who ask for its names. Where its challenges failed that somebody else
 * announced, as a job that has left the account since, this job needs an order of its own.
 */
export function notOurs(failure: OrderEndedError, { initiated, challenges }: OrderState): OrderEndedError {
  if (initiated || challenges.length > 0 || failure.code !== 'challengeFailed') return failure;
  const detail = `another job's challenges for this order failed: ${failure.message}`;
  return new OrderEndedError('gone', detail, { cause: failure });
}
