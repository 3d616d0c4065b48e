import type { AcmeAuthorization, AcmeOrder } from '../acme/objects.ts';
import type { PollPace, PollPaces } from '../ca/poll-paces.ts';
import { isFinalizing } from './finalizing.ts';
import type { Act, Checkpoint, OrderChallenge, OrderState, Seen } from './order-state.ts';

export const newOrderState = (): OrderState => ({ challenges: [], initiated: false, polls: 0 });

/** What of an order outlasts its challenges: who takes it up again presents anew, and finalizes once. */
export const leftState = ({ url, finalizedAt }: Pick<OrderState, 'url' | 'finalizedAt'>): OrderState => ({
  ...newOrderState(),
  ...(url !== undefined && { url }),
  ...(finalizedAt !== undefined && { finalizedAt }),
});

export const newCheckpoint = (order = newOrderState()): Checkpoint => ({ order, failures: 0, lostOrders: 0 });

type Step = { state: OrderState; act: Act };

/**
 * From how far an order is and what was seen to how far it is now and what is to be done (RFC 8555 section
 * 7.1.6): newOrder → choose challenges → present and initiate all → poll the order → finalize → poll →
 * download. `mustOutlive` says whether `state` is to be saved before the act.
 *
 * An order of one name costs seven requests, each further name two more, and four when all names are valid
 * already.
 *
 * @param paces how long this CA takes; without them a quarter of a second is assumed
 */
export function nextStep(state: OrderState, seen: Seen, now: number, paces?: PollPaces): Step {
  switch (seen.saw) {
    case 'nothing':
      return resume(state);
    case 'replacementRefused':
      return { state: { ...newOrderState(), replaced: true }, act: { do: 'create' } };
    case 'kept':
      return { state: { ...leftState(seen), kept: true }, act: { do: 'ask' } };
    case 'order':
      return followOrder(state.url === undefined ? begin(state, seen.order) : state, seen.order, now, paces);
    case 'challenges':
      return afterChoice(state, seen.challenges, now);
    case 'missing': {
      const polls = state.polls + 1;
      return toWait({ ...state, presentedAt: seen.at, polls }, pollTime(polls, undefined, now));
    }
    case 'initiated': {
      const { presentedAt: _, ...rest } = state;
      const told = { ...rest, initiated: true, initiatedAt: seen.at, polls: 1, lookAt: now + FIRST_LOOK };
      return toWait(told, pollTime(0, undefined, now, paces?.validation.first));
    }
    case 'looked':
      return afterLook(state, seen, now, paces);
    case 'finalized':
      return afterFinalize(state, seen, now, paces);
    case 'chain':
      return { state, act: { do: 'end', chain: seen.chain, certificate: seen.certificate } };
  }
}

const toWait = (state: OrderState, until: number): Step => ({ state, act: { do: 'wait', until } });

/** Also the way back after a restart: what the CA is validating already is not initiated again. */
function resume(state: OrderState): Step {
  if (state.url === undefined) return { state, act: { do: 'create' } };
  const { takenBack, ...rest } = state;
  if (takenBack) return { state: rest, act: { do: 'start' } };
  const isPresented = state.presentedAt !== undefined && !state.initiated;
  return { state, act: isPresented ? { do: 'start' } : { do: 'ask' } };
}

function begin({ replaced }: OrderState, { url }: AcmeOrder): OrderState {
  return { ...newOrderState(), ...(replaced && { replaced }), url };
}

function followOrder(state: OrderState, order: AcmeOrder, now: number, paces: PollPaces | undefined): Step {
  switch (order.status) {
    case 'pending':
      if (!state.initiated) return { state, act: { do: 'choose', order } };
      return isStuck(state, now) ? { state, act: { do: 'look', order } } : waitFor(state, order, now, paces);
    // A status may be there before what it is about: a URL of finalize or of the certificate.
    case 'ready':
      return !order.finalize || (state.finalizedAt !== undefined && isFinalizing(state.finalizedAt, now))
        ? waitFor(state, order, now, paces)
        : { state, act: { do: 'finalize', order } };
    case 'processing':
      return waitFor(state, order, now, paces);
    case 'valid':
      return order.certificate
        ? { state, act: { do: 'download', certificate: order.certificate } }
        : waitFor(state, order, now, paces);
    case 'invalid':
      return { state, act: { do: 'fail', order } };
  }
}

const endStates = ['invalid', 'deactivated', 'expired', 'revoked'];

/** Whether an authorization can never become valid. */
export const isOver = ({ status, challenges }: Pick<AcmeAuthorization, 'status' | 'challenges'>): boolean =>
  endStates.includes(status) || (status !== 'valid' && challenges.some(one => one.status === 'invalid'));

function waitFor(state: OrderState, order: AcmeOrder, now: number, paces: PollPaces | undefined): Step {
  const until = pollTime(state.polls, order, now, paces?.issuance.first);
  const { lookAt = now } = state;
  // A poll that nobody asked to wait for comes in time for the look.
  const mayBeEarlier = order.status === 'pending' && order.retryAfter === undefined && lookAt > now;
  return toWait({ ...state, polls: state.polls + 1 }, mayBeEarlier ? Math.min(until, lookAt) : until);
}

const FIRST_LOOK = 2_000;
const LONGEST_LOOK = 60_000;

/** The first poll after a change comes in vain at many CAs. */
const isStuck = ({ polls, lookAt = 0 }: OrderState, now: number) => polls > 1 && now >= lookAt;

function afterLook(
  { looks = 0, tries = 0, ...state }: OrderState,
  { order, toldAgain }: Extract<Seen, { saw: 'looked' }>,
  now: number,
  paces: PollPaces | undefined,
): Step {
  const lookAt = now + Math.min(FIRST_LOOK * 2 ** (looks + 1), LONGEST_LOOK);
  const looked = { ...state, looks: looks + 1, lookAt };
  if (!toldAgain) return waitFor({ ...looked, tries }, order, now, paces);
  return waitFor({ ...looked, tries: tries + 1, polls: 1 }, order, now, paces);
}

function afterChoice(state: OrderState, challenges: OrderChallenge[], now: number): Step {
  // Nothing is left to prove: the CA is only about to notice.
  if (challenges.length === 0) {
    return { state: { ...state, initiated: true, lookAt: now + FIRST_LOOK }, act: { do: 'ask' } };
  }
  // What was presented before a restart and is proven by now still has to be withdrawn.
  const earlier = state.challenges.filter(({ url }) => !challenges.some(one => one.url === url));
  const all = [...earlier.map(one => ({ ...one, told: true })), ...challenges];
  return { state: { ...state, challenges: all }, act: { do: 'start' } };
}

/** The responses were withdrawn before finalize, as the CA's requests are over once an order is ready. */
function afterFinalize(
  state: OrderState,
  { order, notReady }: Extract<Seen, { saw: 'finalized' }>,
  now: number,
  paces: PollPaces | undefined,
): Step {
  // A CA that only says `ready` again is asked ever later, as it may have to be told again.
  const hasMoved = !notReady && order.status !== 'ready';
  const withdrawn = { ...state, challenges: [], polls: hasMoved ? 0 : state.polls };
  const settled = order.status === 'valid' || order.status === 'invalid';
  return settled && !notReady
    ? followOrder(withdrawn, order, now, paces)
    : waitFor(withdrawn, order, now, paces);
}

/**
 * A step that succeeded ends the failures in a row; an order that is sent without `replaces` may count for
 * the limits.
 */
export function afterStep(checkpoint: Checkpoint, order: OrderState, now: number): Checkpoint {
  const begun = checkpoint.begun ?? now;
  const turn = order.url === undefined ? undefined : checkpoint.turn;
  return { ...checkpoint, order, failures: 0, begun, turn };
}

/**
 * Whether a step is to be saved before the next act: the order, what is presented for it, and since when. All
 * else the CA tells whoever goes on after a crash.
 */
export function mustOutlive(before: OrderState, { url, replaced, takenBack, ...after }: OrderState): boolean {
  if (url !== before.url || replaced !== before.replaced) return true;
  if (after.challenges.some(one => !before.challenges.includes(one))) return true;
  return !after.initiated && (takenBack !== before.takenBack || after.presentedAt !== before.presentedAt);
}

/**
 * Learns from the first poll after a change how long the CA takes: one validates in milliseconds, another in
 * seconds. That it came in vain counts for validation only once the names are proven: names that lead nowhere
 * would have everybody's orders be asked for late.
 */
export function learnPace(paces: PollPaces, { status }: AcmeOrder, state: OrderState, now: number): void {
  if (!state.initiated || state.polls === 0) return;
  if (status === 'ready' && state.polls > 1) cameInVain(paces.validation, now);
  if (state.polls !== 1) return;
  if (status === 'ready') cameInTime(paces.validation, now);
  if (status === 'processing') cameInVain(paces.issuance, now);
  if (status === 'valid') cameInTime(paces.issuance, now);
}

const SHORTEST_FIRST = 5;
const LONGEST_FIRST = 5_000;
/** What a first poll that came in vain, or in time, makes of the next one. */
const LATER = 1.5;
const SOONER = 0.95;
/** Until the first one that came in vain, as nobody knows yet how far there is to go. */
const MUCH_SOONER = 0.8;

// A poll in vain costs a request and a quarter of a second, one that is late a few milliseconds: so the pace
// goes up in strides and down in small steps.

function cameInVain(pace: PollPace, now: number): void {
  pace.everInVain = true;
  change(pace, Math.min(LONGEST_FIRST, pace.first * LATER), now);
}

/** It found what it was for, perhaps late. */
function cameInTime(pace: PollPace, now: number): void {
  change(pace, Math.max(SHORTEST_FIRST, pace.first * (pace.everInVain ? SOONER : MUCH_SOONER)), now);
}

/** Orders that were under way together have seen the same thing, which counts once. */
function change(pace: PollPace, first: number, now: number): void {
  if (now - pace.changed < pace.first) return;
  pace.first = first;
  pace.changed = now;
}

const FIRST_POLL = 250;
const LONGEST_POLL = 10_000;
/** A validation takes seconds as a rule, even at a CA that asks for a day of patience. */
const LONGEST_WHILE_VALIDATING = 30_000;

/**
 * When to ask for the order again: after `first`, then 250 ms, doubling up to 10 s. Later where the CA says
 * so, but never sooner, as its Retry-After may be nothing, or past by its clock or ours; and while it
 * validates never later than after 30 s.
 *
 * @param polls how often it was asked in vain
 * @param order as the CA described it last
 * @param first milliseconds, of a PollPace
 * @returns milliseconds since the epoch
 */
export function pollTime(
  polls: number,
  order: Pick<AcmeOrder, 'status' | 'retryAfter'> | undefined,
  now: number,
  first = FIRST_POLL,
): number {
  const backoff = polls === 0 ? first : Math.min(FIRST_POLL * 2 ** (polls - 1), LONGEST_POLL);
  if (order?.retryAfter === undefined) return now + backoff;
  const longest = order.status === 'pending' ? LONGEST_WHILE_VALIDATING : Number.POSITIVE_INFINITY;
  const asked = order.retryAfter - now;
  return now + Math.min(Math.max(asked, backoff, FIRST_POLL), longest);
}
