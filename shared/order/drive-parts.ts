import type { AcmeClient } from '../acme/client.ts';
import type { Clock } from '../base/basics.ts';
import type { PollPaces } from '../ca/poll-paces.ts';
import type { PresentParts } from './challenges.ts';
import type { Checkpoint, WaitsFor } from './order-state.ts';

// What a drive needs of those who have orders driven, and how it ends for them.

/** What becomes of an order whose step failed; `at` in milliseconds since the epoch. */
export type Verdict = { do: 'retry'; at: number; withNewOrder: boolean } | { do: 'fail'; error: unknown };

/**
 * Whether newOrder may be sent: `turn` says whether it counts for the CA's limits; `wait` until then, in
 * milliseconds since the epoch; or an order of an earlier job is there to be resumed; or something is there
 * `instead` of an order.
 */
export type Leave<Instead> =
  | { do: 'order'; turn: Checkpoint['turn'] }
  | { do: 'wait'; until: number; why: WaitsFor }
  | { do: 'resume'; url: string; finalizedAt?: number | undefined; turn?: Checkpoint['turn'] }
  | { do: 'use'; instead: Instead };

export type DriveParts<Instead = never> = PresentParts & {
  acme: AcmeClient;
  clock: Clock;
  paces?: PollPaces;
  /** Ends every request and every look. */
  signal: AbortSignal;
  /** Ends the drive between two steps. */
  stopping?: AbortSignal;
  /**
   * Gets what must outlive this process before the next act, and all when the drive ends in a wait; the drive
   * of another process goes on from what was saved last.
   */
  save(checkpoint: Checkpoint): Promise<void>;
  /** Asked before what must not be done twice; rejects when somebody else has the order by now. */
  confirm?: () => Promise<void>;
  /** Asked before each newOrder. */
  mayOrder?(checkpoint: Checkpoint): Promise<Leave<Instead>>;
  /** Asked after a step that failed; what it throws ends the drive as it is. */
  judge(error: unknown, checkpoint: Checkpoint): Promise<Verdict>;
  /** Milliseconds; a longer wait ends the drive, to be gone on with `later`. */
  longestWait: number;
  /**
   * Milliseconds that a CA has which was told of all challenges, where that is less than the hour of an
   * order.
   */
  longestTold?: number;
};

/** How a drive ended; `until` is in milliseconds since the epoch. */
export type Driven<Instead = never> =
  | { end: 'issued'; chain: string; certificate: string; checkpoint: Checkpoint }
  | { end: 'later'; until: number; why?: WaitsFor }
  | { end: 'instead'; instead: Instead };
