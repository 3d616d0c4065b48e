import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import type { Clock } from '../base/clock.ts';
import type { Solver } from '../solver/solver.ts';
import type { OrderState } from './order-state.ts';
import type { PollPaces } from './poll-pace.ts';

/** What an order is driven with. */
export type OrderParts = {
  acme: AcmeClient;
  /**
   * In the order of preference. Empty where no verification is configured: then only names that the CA holds valid
   * already can be had.
   */
  solvers: readonly Solver[];
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
  /** `chain` is PEM, as the CA sent it; `certificate` is its URL. */
  | { next: 'issued'; chain: string; certificate: string; state: OrderState };
