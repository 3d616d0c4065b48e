import type { Identifier } from '../base/identifier.ts';

// How far an order is, as it is saved and handed from one process to the next.

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
  turn?: 'counted' | 'exempt' | undefined;
};
