import type { AcmeClient } from '../acme/client.ts';
import type { AcmeAuthorization, AcmeOrder } from '../acme/objects.ts';
import { problemKind } from '../acme/problem.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Solver } from '../solver/solver.ts';
import { authorizedIdentifier, chooseChallenge } from './choose-challenge.ts';
import { createOrder } from './create-order.ts';
import { orderFailure } from './order-failure.ts';
import type { OrderChallenge, OrderState, OrderTask } from './order-state.ts';
import type { OrderParts, OrderStep } from './order-step.ts';
import { pollTime } from './poll-time.ts';
import {
  checkVisible,
  findMissing,
  lookAgain,
  presentChallenges,
  withdrawAll,
} from './present-challenges.ts';

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
  if (!state.url) return createOrder(parts, task, state);
  const { takenBack, ...going } = state;
  if (takenBack || (state.presentedAt !== undefined && !state.initiated))
    return startChallenges(parts, going);
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
      throw await orderFailure(parts.acme, order, await lookAgain(parts, state.challenges));
  }
}

/** Takes back whatever may have been presented; to be called when an order is given up. */
export async function withdrawChallenges(parts: OrderParts, state: OrderState): Promise<OrderState> {
  await withdrawAll(parts, state.challenges);
  return { ...state, challenges: [] };
}

/**
 * What whoever takes an order over has to know, where the CA was told of none of its challenges yet: they are to be
 * withdrawn once this is saved, and are presented again later. Of others the CA may be asking now; they stay.
 *
 * @returns `undefined` where there is nothing to take back
 */
export function beforeHandOver({ presentedAt: _, ...state }: OrderState): OrderState | undefined {
  const told = state.initiated || state.challenges.some(challenge => challenge.told);
  if (told || state.takenBack || state.challenges.length === 0) return undefined;
  return { ...state, takenBack: true, polls: 0 };
}

/** Also the way back after a restart: what the CA is validating already is not initiated again. */
async function chooseChallenges(
  { acme, solvers }: OrderParts,
  order: AcmeOrder,
  state: OrderState,
): Promise<OrderStep> {
  const challenges: OrderChallenge[] = [];
  for (const url of order.authorizations) {
    const authorization = await acme.getAuthorization(url);
    if (authorization.status === 'pending') challenges.push(toChallenge(authorization, solvers));
  }
  // Nothing is left to prove: the CA is only about to notice.
  if (challenges.length === 0) return { next: 'continue', state: { ...state, initiated: true } };
  // What was presented before a restart and is proven by now still has to be withdrawn.
  const earlier = state.challenges.filter(({ url }) => !challenges.some(one => one.url === url));
  const all = [...earlier.map(one => ({ ...one, told: true })), ...challenges];
  return { next: 'continue', state: { ...state, challenges: all }, seen: order };
}

function toChallenge(authorization: AcmeAuthorization, solvers: readonly Solver[]): OrderChallenge {
  const { challenge, solver } = chooseChallenge(authorization, solvers);
  const { url, token, status, issuerDomainNames, accountUrl } = challenge;
  const identifier = authorizedIdentifier(authorization);
  const told = status === 'processing';
  if (!issuerDomainNames) return { identifier, url, token, solver: solver.name, told };
  const persist = { issuerDomainNames, ...(accountUrl !== undefined && { accountUrl }) };
  return { identifier, url, token, solver: solver.name, told, persist };
}

/** The CA is told once everybody whom it may ask can answer; the waiting for that costs it no request. */
async function startChallenges(parts: OrderParts, state: OrderState): Promise<OrderStep> {
  const { acme, clock } = parts;
  const { challenges } = state;
  if (state.presentedAt === undefined) await presentChallenges(parts, challenges);
  const presentedAt = state.presentedAt ?? clock.now();
  if ((await findMissing(parts, challenges, presentedAt, clock.now())) !== undefined) {
    const polls = state.polls + 1;
    return {
      next: 'wait',
      until: pollTime(polls, undefined, clock.now()),
      state: { ...state, presentedAt, polls },
    };
  }
  await checkVisible(parts, challenges);
  const initiatedAt = clock.now();
  for (const challenge of challenges) if (!challenge.told) await initiate(acme, challenge.url);
  const until = pollTime(0, undefined, clock.now(), parts.paces?.validation.first);
  return { next: 'wait', until, state: { ...state, initiated: true, initiatedAt, polls: 1 } };
}

/** A predecessor may have told the CA already, which then calls it malformed to be told again: the order will show. */
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
  order: AcmeOrder,
  state: OrderState,
): Promise<OrderStep> {
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
    if (kind === 'orderNotReady')
      return waitFor(parts, { ...order, retryAfter }, { ...withdrawn, polls: state.polls });
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
function learnPace(
  { paces, clock }: OrderParts,
  { status }: AcmeOrder,
  { initiated, polls }: OrderState,
): void {
  if (!paces || !initiated || polls !== 1) return;
  if (status === 'pending') paces.validation.late(clock.now());
  if (status === 'ready') paces.validation.early(clock.now());
  if (status === 'processing') paces.issuance.late(clock.now());
  if (status === 'valid') paces.issuance.early(clock.now());
}

async function download(
  parts: OrderParts,
  task: OrderTask,
  order: AcmeOrder,
  state: OrderState,
): Promise<OrderStep> {
  if (!order.certificate)
    throw new IssuanceError('unexpected', 'the CA calls the order valid but names no certificate');
  const { certificate } = order;
  const chain = await parts.acme.downloadChain(certificate, task.preferredChain);
  return { next: 'issued', chain, certificate, state: await withdrawChallenges(parts, state) };
}
