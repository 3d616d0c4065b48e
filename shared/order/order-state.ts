import type { AcmeOrder } from '../acme/objects.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Turn } from '../limits/budget.ts';

// What an order is: how far it has come, as it is saved and handed from one process to the next; what an act
// on it has seen; and what is to be done next.

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
  /** Checks a chain as `acceptChain` does, and throws as it does. */
  accept?: (chain: string) => void;
};

/** A challenge that is, or may be, presented. Its key authorization follows from the account key. */
export type OrderChallenge = {
  identifier: Identifier;
  url: string;
  token: string;
  /** The name of the solver that answers it. */
  solver: string;
  /**
   * Whether the CA may have been told already that it can be validated: it is presented from before, and its
   * status was `processing` when chosen.
   */
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
  /** Whether an earlier job has made it. */
  kept?: true;
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
  /** When the authorizations of an order that does not move are looked at; milliseconds since the epoch. */
  lookAt?: number;
  /** How often they were. */
  looks?: number;
  /** How often the CA was told again of challenges that had failed, but may be tried again. */
  tries?: number;
};

/**
 * What an order waits for that may not be made yet: the end of a limit, in milliseconds since the epoch;
 * another job's order for the same `names`; or a `storage` that cannot be read.
 */
export type WaitsFor = { for: 'limit'; until: number } | { for: 'names' | 'storage' };

/** What is saved of an order at one CA, after every step. */
export type Checkpoint = {
  order: OrderState;
  /** Steps that failed in a row. */
  failures: number;
  lostOrders: number;
  /** When it first was its turn to order; milliseconds since the epoch. */
  begun?: number | undefined;
  /** Whether the next new order, or the one made, counts for the CA's limits; absent until known. */
  turn?: Turn | undefined;
};

/** What one act on an order has found. */
export type Seen =
  /** An order is taken up, or a wait is over: what the CA says of it now is not known. */
  | { saw: 'nothing' }
  | { saw: 'order'; order: AcmeOrder }
  /** The order of an earlier job for the same is there still. */
  | { saw: 'kept'; url: string; finalizedAt?: number | undefined }
  /** The CA refuses to take the order for a replacement. */
  | { saw: 'replacementRefused' }
  /** What is still to be proven, and by which challenges. */
  | { saw: 'challenges'; challenges: OrderChallenge[] }
  /** The responses are presented, but not all can be seen yet. @param at when they were presented */
  | { saw: 'missing'; at: number }
  /** All challenges were announced to the CA. */
  | { saw: 'initiated'; at: number }
  /** The authorizations of an order that does not move can still be had; perhaps the CA was told again. */
  | { saw: 'looked'; order: AcmeOrder; toldAgain: boolean }
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
  | { do: 'look'; order: AcmeOrder }
  /** `until` is in milliseconds since the epoch. */
  | { do: 'wait'; until: number }
  | { do: 'finalize'; order: AcmeOrder }
  | { do: 'download'; certificate: string }
  | { do: 'fail'; order: AcmeOrder }
  | { do: 'end'; chain: string; certificate: string };
