import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { problemKind, toCsrFault } from '../acme/problem.ts';
import { type Clock, IssuanceError, type Problem } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Ca } from '../ca/open-ca.ts';
import type { Claim } from '../limits/budget.ts';
import { type Limit, StandingLimitError } from '../limits/limits.ts';
import type { NotifyEvent } from '../notify/message.ts';
import {
  authorizedIdentifier,
  chooseChallenges,
  lookAgain,
  type PresentParts,
  refuseHopeless,
  startChallenges,
  withdrawAll,
} from './challenges.ts';
import type { Act, Checkpoint, OrderState, OrderTask, Seen } from './next-step.ts';

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
  const detail = `the CA's limit for ${key} is used up; it was not asked`;
  return { may: false, limit: new StandingLimitError('rateLimited', detail, { retryAfter: until }), waits };
}

/**
 * Keeps for the whole fleet what a failure says of the CA's limits, so that no other order runs into the same
 * one.
 *
 * @param unanswered whether Redis was away while the CA looked at challenges, so that no responder could have
 *   answered it; then a failed validation says nothing of the names, and the order is as good as lost
 * @param onLimit gets each limit that the CA told
 * @returns the error for the client, with the time to try again where that is known now
 */
export async function rememberFailure(
  { limits, budget }: Pick<Ca, 'limits' | 'budget'>,
  identifiers: Identifier[],
  error: unknown,
  unanswered: boolean,
  onLimit: (limit: Limit) => Promise<void>,
): Promise<unknown> {
  if (!(error instanceof IssuanceError) || error instanceof StandingLimitError) return error;
  const { code, message, problem, cause } = error;
  if (code === 'rateLimited' || (code === 'unavailable' && error.retryAfter !== undefined)) {
    for (const limit of await limits.park(identifiers, error)) await onLimit(limit);
  }
  // Without the CA's problem it was Quarry's own look that failed, which costs no limit.
  if (code !== 'challengeFailed' || !problem) return error;
  await budget.spendFailures(failedNames(problem));
  if (unanswered) {
    const detail = `the CA looked at the challenges while Redis was away: ${message}`;
    return new IssuanceError('gone', detail, { cause: error, problem });
  }
  const retryAfter = await limits.recordFailure(identifiers, error);
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
  state: OrderState,
  act: Exclude<Act, { do: 'wait' | 'end' }>,
): Promise<Seen> {
  switch (act.do) {
    case 'create':
      return createOrder(parts, task, state);
    case 'ask':
      return { saw: 'order', order: await parts.acme.getOrder(state.url ?? '') };
    case 'choose':
      return { saw: 'challenges', challenges: await chooseChallenges(parts, act.order) };
    case 'start':
      return startChallenges(parts, state);
    case 'finalize':
      return finalize(parts, task, state, act.order);
    case 'download':
      return download(parts, task, state, act.order);
    case 'fail':
      throw await orderFailure(parts.acme, act.order, await lookAgain(parts, state.challenges));
  }
}

/**
 * How CAs refuse to take an order for a replacement (RFC 9773 section 5): the certificate was replaced
 * already, is none of this account, or is none that they know, which Pebble calls an internal error. It may
 * be renewed all the same, by an order like any other.
 */
const replacementRefusals = new Set(['alreadyReplaced', 'unauthorized', 'malformed', 'serverInternal']);

/** Asks for the order; names that no solver could prove are refused before. */
async function createOrder({ acme, solvers }: OrderParts, task: OrderTask, state: OrderState): Promise<Seen> {
  const { identifiers, certificateProfile: profile } = task;
  refuseHopeless(identifiers, solvers);
  const replaces = state.replaced ? undefined : task.replaces;
  try {
    return { saw: 'order', order: await acme.newOrder(identifiers, { profile, replaces }) };
  } catch (error) {
    const refused = error instanceof IssuanceError && replacementRefusals.has(problemKind(error.problem));
    if (!refused || replaces === undefined) throw toCsrFault(error, ['malformed']);
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
  { preferredChain }: OrderTask,
  { challenges }: OrderState,
  { certificate }: AcmeOrder,
): Promise<Seen> {
  if (!certificate) {
    throw new IssuanceError('unexpected', 'the CA calls the order valid but names no certificate');
  }
  const chain = await parts.acme.downloadChain(certificate, preferredChain);
  await withdrawAll(parts, challenges);
  return { saw: 'chain', chain, certificate };
}

/**
 * Why an order became invalid: the failed challenges, each with its name, or else what the order itself says.
 *
 * @param faults what Quarry's own look at the challenge responses found, by name
 */
export async function orderFailure(
  acme: Pick<AcmeClient, 'getAuthorization'>,
  { authorizations, error }: AcmeOrder,
  faults: ReadonlyMap<string, string> = new Map(),
): Promise<IssuanceError> {
  const failed = await failedChallenges(acme, authorizations);
  if (failed.length > 0) {
    const lines = failed.map(problem => toLine(problem, faults)).join('; ');
    return new IssuanceError('challengeFailed', lines, { problem: toProblem(failed) });
  }
  const said = error?.detail ?? 'it gave no reason';
  const code = problemKind(error) === 'badCSR' ? 'badCsr' : 'denied';
  return new IssuanceError(code, `the CA ended the order: ${said}`, { problem: error });
}

async function failedChallenges(
  acme: Pick<AcmeClient, 'getAuthorization'>,
  authorizations: string[],
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const url of authorizations) {
    const authorization = await acme.getAuthorization(url);
    const error = authorization.challenges.find(challenge => challenge.error)?.error;
    if (error) problems.push({ ...error, identifier: authorizedIdentifier(authorization) });
  }
  return problems;
}

function toLine({ identifier, detail, type }: Problem, faults: ReadonlyMap<string, string>): string {
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
