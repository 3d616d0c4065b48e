import type { AcmeAuthorization, AcmeClient, AcmeOrder } from '../acme/client.ts';
import { problemKind } from '../acme/problem.ts';
import type { Clock } from '../base/clock.ts';
import { IssuanceError } from '../base/errors.ts';
import type { ChallengeResponse, Solver } from '../solver/solver.ts';
import { authorizedIdentifier, chooseChallenge } from './choose-challenge.ts';
import { orderFailure } from './order-failure.ts';
import { newOrderState, type OrderChallenge, type OrderState, type OrderTask } from './order-state.ts';
import type { PollPaces } from './poll-pace.ts';
import { pollTime } from './poll-time.ts';

export type OrderParts = {
  acme: AcmeClient;
  /** Absent where no verification is configured: then only names that the CA holds valid already can be had. */
  solver: Solver | undefined;
  clock: Clock;
  /** How long this CA takes; without it a quarter of a second is assumed. */
  paces?: PollPaces;
  /** Ends every request and every look. */
  signal: AbortSignal;
  /** Asked before what must not be done twice; rejects when somebody else has the order by now. */
  confirm?: () => Promise<void>;
  /** Told what a solver's own look found wrong, in one line, where the order goes on all the same. */
  warn?: (fault: string) => void;
};

/**
 * What to do after a step. The caller saves `state` before it goes on; `seen` is the order as the CA told it last, to be
 * passed to the next call in the same process and to be forgotten over a restart.
 */
export type OrderStep =
  | { next: 'continue'; state: OrderState; seen?: AcmeOrder }
  /** `until` is in milliseconds since the epoch. */
  | { next: 'wait'; until: number; state: OrderState }
  /** `chain` is PEM, as the CA sent it. */
  | { next: 'issued'; chain: string; state: OrderState };

/**
 * Takes an order one step further (RFC 8555 section 7.1.6): newOrder → choose challenges → present and initiate all →
 * poll the order → withdraw and finalize → poll → download.
 *
 * An order of one name costs seven requests, each further name two more, and four when all names are valid already.
 *
 * @throws IssuanceError when the order cannot be had, or cannot be had now; then `withdrawChallenges` is due if the
 *   caller gives up
 */
export async function advanceOrder(
  parts: OrderParts,
  task: OrderTask,
  state: OrderState,
  seen?: AcmeOrder,
): Promise<OrderStep> {
  if (!state.url) return createOrder(parts, task);
  const order = seen ?? (await parts.acme.getOrder(state.url));
  learnPace(parts, order, state);
  switch (order.status) {
    case 'pending':
      if (state.initiated) return waitFor(parts, order, state);
      return seen && state.challenges.length > 0
        ? startChallenges(parts, state)
        : chooseChallenges(parts, order, state);
    case 'ready':
      return finalize(parts, task, order, state);
    case 'processing':
      return waitFor(parts, order, state);
    case 'valid':
      return download(parts, task, order, state);
    case 'invalid':
      throw await orderFailure(parts.acme, order, await lookAgain(parts, state));
  }
}

/** Takes back whatever may have been presented; to be called when an order is given up. */
export async function withdrawChallenges({ acme, solver, signal }: OrderParts, state: OrderState): Promise<OrderState> {
  for (const challenge of state.challenges) await solver?.withdraw(toResponse(acme, challenge), signal);
  return { ...state, challenges: [] };
}

async function createOrder(
  { acme, solver }: OrderParts,
  { identifiers, certificateProfile }: OrderTask,
): Promise<OrderStep> {
  const hopeless = identifiers.find(identifier => solver && !solver.canProve(identifier));
  if (hopeless) {
    const why = `${solver?.challengeType} of verification "${solver?.name}" cannot prove it`;
    throw new IssuanceError('denied', `not possible for ${hopeless.value}: ${why}`);
  }
  const order = await acme.newOrder(identifiers, certificateProfile);
  return { next: 'continue', state: { ...newOrderState(), url: order.url }, seen: order };
}

/** Also the way back after a restart: what the CA is validating already is not initiated again. */
async function chooseChallenges({ acme, solver }: OrderParts, order: AcmeOrder, state: OrderState): Promise<OrderStep> {
  const challenges: OrderChallenge[] = [];
  for (const url of order.authorizations) {
    const authorization = await acme.getAuthorization(url);
    if (authorization.status === 'pending') challenges.push(toChallenge(authorization, solver));
  }
  // Nothing is left to prove: the CA is only about to notice.
  if (challenges.length === 0) return { next: 'continue', state: { ...state, initiated: true } };
  // What was presented before a restart and is proven by now still has to be withdrawn.
  const earlier = state.challenges.filter(({ url }) => !challenges.some(one => one.url === url));
  const all = [...earlier.map(one => ({ ...one, told: true })), ...challenges];
  return { next: 'continue', state: { ...state, challenges: all }, seen: order };
}

function toChallenge(authorization: AcmeAuthorization, solver: Solver | undefined): OrderChallenge {
  const { url, token, status } = chooseChallenge(authorization, solver);
  return { identifier: authorizedIdentifier(authorization), url, token, told: status === 'processing' };
}

async function startChallenges(parts: OrderParts, state: OrderState): Promise<OrderStep> {
  const { acme, solver, clock, signal } = parts;
  for (const challenge of state.challenges) await solver?.present(toResponse(acme, challenge), signal);
  await checkVisible(parts, state);
  for (const challenge of state.challenges) if (!challenge.told) await initiate(acme, challenge.url);
  const until = pollTime(0, undefined, clock.now(), parts.paces?.validation.first);
  return { next: 'wait', until, state: { ...state, initiated: true, polls: 1 } };
}

/** A predecessor may have told the CA already, which then calls it malformed to be told again: the order will show. */
async function initiate(acme: AcmeClient, url: string): Promise<void> {
  try {
    await acme.initiateChallenge(url);
  } catch (error) {
    if (!(error instanceof IssuanceError) || problemKind(error.problem) !== 'malformed') throw error;
  }
}

/** Where it is required, the CA is not told before the responses can be seen; else nobody waits for the look. */
async function checkVisible({ acme, solver, signal, warn }: OrderParts, state: OrderState): Promise<void> {
  const check = solver?.selfCheck;
  for (const challenge of check ? state.challenges : []) {
    const looking = check?.look(toResponse(acme, challenge), signal);
    if (check?.mode === 'require') {
      const fault = await looking;
      if (fault) throw new IssuanceError('challengeFailed', `${challenge.identifier.value}: ${fault}`);
    } else {
      looking?.then(fault => fault && warn?.(fault)).catch(() => {}); // it rejects only when the job has ended
    }
  }
}

/** After a failure, what the CA said is easier to understand beside what can be seen from here. */
async function lookAgain({ acme, solver, signal }: OrderParts, state: OrderState): Promise<Map<string, string>> {
  const looks = state.challenges.map(async challenge => {
    const fault = await solver?.selfCheck?.look(toResponse(acme, challenge), signal);
    return [challenge.identifier.value, fault ?? ''] as const;
  });
  return new Map((await Promise.all(looks)).filter(([, fault]) => fault !== ''));
}

/** The CA's requests are over once the order is ready, so the responses go before anything else happens. */
async function finalize(parts: OrderParts, task: OrderTask, order: AcmeOrder, state: OrderState): Promise<OrderStep> {
  const withdrawn = { ...(await withdrawChallenges(parts, state)), polls: 0 };
  await parts.confirm?.();
  try {
    const finalized = await parts.acme.finalize(order, task.csr);
    return finalized.status === 'processing'
      ? waitFor(parts, finalized, withdrawn)
      : { next: 'continue', state: withdrawn, seen: finalized };
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    const { message, problem, retryAfter } = error;
    const kind = problemKind(problem);
    if (kind === 'orderNotReady') return waitFor(parts, { ...order, retryAfter }, { ...withdrawn, polls: state.polls });
    // So says a CA that reads other names out of the CSR than were ordered: Pebble passes over a CN.
    if (kind === 'unauthorized') throw new IssuanceError('badCsr', message, { cause: error, problem });
    throw error;
  }
}

function waitFor({ clock, paces }: OrderParts, order: AcmeOrder, state: OrderState): OrderStep {
  const until = pollTime(state.polls, order.retryAfter, clock.now(), paces?.issuance.first);
  return { next: 'wait', until, state: { ...state, polls: state.polls + 1 } };
}

/** What the first poll after a change found. */
function learnPace({ paces, clock }: OrderParts, { status }: AcmeOrder, { initiated, polls }: OrderState): void {
  if (!paces || !initiated || polls !== 1) return;
  if (status === 'pending') paces.validation.late(clock.now());
  if (status === 'ready') paces.validation.early(clock.now());
  if (status === 'processing') paces.issuance.late(clock.now());
  if (status === 'valid') paces.issuance.early(clock.now());
}

async function download(parts: OrderParts, task: OrderTask, order: AcmeOrder, state: OrderState): Promise<OrderStep> {
  if (!order.certificate)
    throw new IssuanceError('unexpected', 'the CA calls the order valid but names no certificate');
  const chain = await parts.acme.downloadChain(order.certificate, task.preferredChain);
  return { next: 'issued', chain, state: await withdrawChallenges(parts, state) };
}

function toResponse(acme: AcmeClient, { identifier, token }: OrderChallenge): ChallengeResponse {
  return { identifier, token, keyAuthorization: acme.keyAuthorization(token) };
}
