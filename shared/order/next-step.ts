import type { AcmeOrder } from '../acme/objects.ts';
import type { Identifier } from '../base/identifier.ts';
import type { PollPaces } from '../ca/standing.ts';
import { isFinalizing } from './finalizing.ts';

/** What is to be issued. */
export type OrderTask = {
  identifiers: Identifier[];
  /** DER; its names are never read again. */
  csr: Buffer;
  certificateProfile?: string | undefined;
  /** Common name of the issuer wanted at the top of the chain. */
  preferredChain?: string | undefined;
  /** The certificate that this one is to replace, as renewal information names it (RFC 9773 section 4.1). */
  replaces?: string | undefined;
  /** Checks a chain as `acceptChain` does; gives it as it is to be handed out. */
  accept?: (chain: string) => string;
};

/** A challenge that is, or may be, presented. Its key authorization follows from the account key. */
export type OrderChallenge = {
  identifier: Identifier;
  url: string;
  token: string;
  /** The name of the solver that answers it. */
  solver: string;
  /** Whether the CA knows already that it can be validated: its status was `processing` when chosen. */
  told: boolean;
  /** Of dns-persist-01, which is proven by what stands in the DNS and not by a token. */
  persist?: { accountUrl?: string; issuerDomainNames: string[] };
};

/**
 * All that resuming an order needs; plain data, saved after each step. What the CA says of the order is not
 * in it: after a restart the CA is asked, so that nothing is ever done twice on the word of an old answer.
 */
export type OrderState = {
  /** Set from newOrder's answer on, and saved before any challenge is touched. */
  url?: string;
  /** Whether the CA refused `replaces`, as one already replaced: then the order is sent without it. */
  replaced?: true;
  /** Presented, or about to be; empty again once withdrawn. */
  challenges: OrderChallenge[];
  /** When all were presented, while it takes time until they can be seen; milliseconds since the epoch. */
  presentedAt?: number;
  /** Whether they were taken back before the CA was told of any, to be presented again by whoever goes on. */
  takenBack?: true;
  /** Whether the CA was told of all challenges. */
  initiated: boolean;
  /** Before the first of them was told; milliseconds since the epoch. */
  initiatedAt?: number;
  /** When finalize was sent last, where the CA may be at it still; milliseconds since the epoch. */
  finalizedAt?: number | undefined;
  /**
   * How often the CA was asked, or what was presented was looked for, since the order last moved; drives the
   * backoff.
   */
  polls: number;
};

/** What is saved of an order at one CA, after every step. */
export type Checkpoint = {
  order: OrderState;
  /** Steps that failed in a row. */
  failures: number;
  lostOrders: number;
  /** When it first was its turn to order; milliseconds since the epoch. */
  begun?: number | undefined;
  /** Whether the next new order, or the one made, counts for the CA's limits; absent until known. */
  turn?: 'counted' | 'exempt' | undefined;
};

export const newOrderState = (): OrderState => ({ challenges: [], initiated: false, polls: 0 });

export const newCheckpoint = (order = newOrderState()): Checkpoint => ({ order, failures: 0, lostOrders: 0 });

/** What one act on an order has found. */
export type Seen =
  /** An order is taken up, or a wait is over: what the CA says of it now is not known. */
  | { saw: 'nothing' }
  | { saw: 'order'; order: AcmeOrder }
  /** The CA refuses to take the order for a replacement. */
  | { saw: 'replacementRefused' }
  /** What is still to be proven, and by which challenges. */
  | { saw: 'challenges'; challenges: OrderChallenge[] }
  /** The responses are presented, but not all can be seen yet. @param at when they were presented */
  | { saw: 'missing'; at: number }
  /** All challenges were announced to the CA. */
  | { saw: 'initiated'; at: number }
  /** The CA's answer to finalize; `order` is as it was before where the CA calls it not ready. */
  | { saw: 'finalized'; order: AcmeOrder; notReady?: true }
  /** `chain` is PEM, as the CA sent it; `certificate` is its URL. */
  | { saw: 'chain'; chain: string; certificate: string };

/** What is to be done with an order next. */
export type Act =
  | { do: 'create' }
  | { do: 'ask' }
  | { do: 'choose'; order: AcmeOrder }
  | { do: 'start' }
  /** `until` is in milliseconds since the epoch. */
  | { do: 'wait'; until: number }
  | { do: 'finalize'; order: AcmeOrder }
  | { do: 'download'; order: AcmeOrder }
  | { do: 'fail'; order: AcmeOrder }
  | { do: 'end'; chain: string; certificate: string };

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
    case 'order':
      return followOrder(state.url === undefined ? begin(state, seen.order) : state, seen.order, now, paces);
    case 'challenges':
      return afterChoice(state, seen.challenges);
    case 'missing': {
      const polls = state.polls + 1;
      return toWait({ ...state, presentedAt: seen.at, polls }, pollTime(polls, undefined, now));
    }
    case 'initiated': {
      const { presentedAt: _, ...rest } = state;
      const told = { ...rest, initiated: true, initiatedAt: seen.at, polls: 1 };
      return toWait(told, pollTime(0, undefined, now, paces?.validation.first));
    }
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
      return state.initiated ? waitFor(state, order, now, paces) : { state, act: { do: 'choose', order } };
    case 'ready':
      return state.finalizedAt !== undefined && isFinalizing(state.finalizedAt, now)
        ? waitFor(state, order, now, paces)
        : { state, act: { do: 'finalize', order } };
    case 'processing':
      return waitFor(state, order, now, paces);
    case 'valid':
      return { state, act: { do: 'download', order } };
    case 'invalid':
      return { state, act: { do: 'fail', order } };
  }
}

function waitFor(state: OrderState, order: AcmeOrder, now: number, paces: PollPaces | undefined): Step {
  const until = pollTime(state.polls, order.retryAfter, now, paces?.issuance.first);
  return toWait({ ...state, polls: state.polls + 1 }, until);
}

function afterChoice(state: OrderState, challenges: OrderChallenge[]): Step {
  // Nothing is left to prove: the CA is only about to notice.
  if (challenges.length === 0) return { state: { ...state, initiated: true }, act: { do: 'ask' } };
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
  const withdrawn = { ...state, challenges: [], polls: notReady ? state.polls : 0 };
  const settled = order.status === 'valid' || order.status === 'invalid';
  return settled && !notReady
    ? followOrder(withdrawn, order, now, paces)
    : waitFor(withdrawn, order, now, paces);
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

/** What the first poll after a change says of the CA's pace. */
export function learnPace(paces: PollPaces, { status }: AcmeOrder, state: OrderState, now: number): void {
  if (!state.initiated || state.polls !== 1) return;
  if (status === 'pending') paces.validation.late(now);
  if (status === 'ready') paces.validation.early(now);
  if (status === 'processing') paces.issuance.late(now);
  if (status === 'valid') paces.issuance.early(now);
}

const FIRST_POLL = 250;
const LONGEST_POLL = 10_000;

/**
 * When to ask for the order again: after `first`, then 250 ms, doubling up to 10 s; later where the CA says
 * so, but never sooner, as its Retry-After may be nothing, or past by its clock or ours.
 *
 * @param polls how often it was asked in vain
 * @param first milliseconds, as a PollPace knows them
 * @returns milliseconds since the epoch
 */
export function pollTime(
  polls: number,
  retryAfter: number | undefined,
  now: number,
  first = FIRST_POLL,
): number {
  const backoff = polls === 0 ? first : Math.min(FIRST_POLL * 2 ** (polls - 1), LONGEST_POLL);
  if (retryAfter === undefined) return now + backoff;
  return Math.max(retryAfter, now + Math.max(backoff, FIRST_POLL));
}
