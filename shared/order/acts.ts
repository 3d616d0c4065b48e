import type { AcmeClient } from '../acme/client.ts';
import type { AcmeAuthorization, AcmeOrder } from '../acme/objects.ts';
import { problemKind } from '../acme/problem.ts';
import type { Clock } from '../base/clock.ts';
import { IssuanceError, type Problem } from '../base/errors.ts';
import {
  authorizedIdentifier,
  checkVisible,
  chooseChallenge,
  findMissing,
  lookAgain,
  type PresentParts,
  presentChallenges,
  refuseHopeless,
  withdrawAll,
} from './challenges.ts';
import type { Act, Seen } from './next-step.ts';
import type { OrderChallenge, OrderState, OrderTask } from './order-state.ts';

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
 * How CAs refuse to take an order for a replacement (RFC 9773 section 5): the certificate was replaced already, is none of
 * this account, or is none that they know, which Pebble calls an internal error. It may be renewed all the same, by an
 * order like any other.
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

async function chooseChallenges(
  { acme, solvers }: OrderParts,
  { authorizations }: AcmeOrder,
): Promise<OrderChallenge[]> {
  const challenges: OrderChallenge[] = [];
  for (const url of authorizations) {
    const authorization = await acme.getAuthorization(url);
    if (authorization.status === 'pending') {
      challenges.push(toChallenge(authorization, chooseChallenge(authorization, solvers)));
    }
  }
  return challenges;
}

function toChallenge(
  authorization: AcmeAuthorization,
  { challenge, solver }: ReturnType<typeof chooseChallenge>,
): OrderChallenge {
  const { url, token, status, issuerDomainNames, accountUrl } = challenge;
  const identifier = authorizedIdentifier(authorization);
  const chosen = { identifier, url, token, solver: solver.name, told: status === 'processing' };
  if (!issuerDomainNames) return chosen;
  return { ...chosen, persist: { issuerDomainNames, ...(accountUrl !== undefined && { accountUrl }) } };
}

/** Announces challenges once every server that the CA may ask can answer; that wait costs the CA no request. */
async function startChallenges(parts: OrderParts, { challenges, presentedAt }: OrderState): Promise<Seen> {
  const { acme, clock } = parts;
  if (presentedAt === undefined) await presentChallenges(parts, challenges);
  const at = presentedAt ?? clock.now();
  if ((await findMissing(parts, challenges, at, clock.now())) !== undefined) return { saw: 'missing', at };
  await checkVisible(parts, challenges);
  const initiatedAt = clock.now();
  for (const challenge of challenges) if (!challenge.told) await initiate(acme, challenge.url);
  return { saw: 'initiated', at: initiatedAt };
}

/** A predecessor may have announced it; some CAs then call the repetition malformed, and the order will show. */
async function initiate(acme: AcmeClient, url: string): Promise<void> {
  try {
    await acme.initiateChallenge(url);
  } catch (error) {
    if (!(error instanceof IssuanceError) || problemKind(error.problem) !== 'malformed') throw error;
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
    if (problemKind(problem) === 'orderNotReady')
      return { saw: 'finalized', order: { ...order, retryAfter }, notReady: true };
    // A CA says `unauthorized` that reads other names out of the CSR than were ordered: Pebble passes over a CN.
    throw toCsrFault(error, ['malformed', 'unauthorized']);
  }
}

/** What these kinds of problems blame is what came with the CSR. */
function toCsrFault(error: unknown, kinds: string[]): unknown {
  if (!(error instanceof IssuanceError) || !kinds.includes(problemKind(error.problem))) return error;
  return new IssuanceError('badCsr', error.message, { cause: error, problem: error.problem });
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
