import { linkSignals } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import type { PollPaces } from '../ca/poll-paces.ts';
import { type OrderParts, perform } from './acts.ts';
import { withdrawAll } from './challenges.ts';
import { afterFailedStep } from './failed-step.ts';
import { mayBeAtIt } from './finalizing.ts';
import { beforeHandOver, takeBack } from './hand-over.ts';
import { learnPace, leftState, mustOutlive, nextStep } from './next-step.ts';
import { OrderEndedError } from './order-failure.ts';
import type { Act, Checkpoint, OrderState, OrderTask, Seen, WaitsFor } from './order-state.ts';
import { StillWorkingError } from './still-working.ts';

const LONGEST_ORDER = 3_600_000;

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

export type DriveParts<Instead = never> = OrderParts & {
  paces?: PollPaces;
  /** Ends the drive between two steps. */
  stopping?: AbortSignal;
  /**
   * Gets what must outlive this process before the next act, and all when the drive ends in a wait; the drive
   * of another process goes on from what was saved last.
   */
  save(checkpoint: Checkpoint): Promise<void>;
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

/**
 * Drives an order at one CA to its end, or to a wait that is too long to sit out.
 *
 * @param from where the drive before this one ended
 * @throws the error that the order came to nothing by: its challenges are withdrawn then, and a later drive
 *   from what was saved last may still have the order; or the signal's reason: then nothing stays presented
 *   that was not announced to the CA
 */
export async function driveOrder<Instead = never>(
  parts: DriveParts<Instead>,
  task: OrderTask,
  from: Checkpoint,
): Promise<Driven<Instead>> {
  using stopped = linkSignals(parts.signal, ...(parts.stopping ? [parts.stopping] : []));
  const drive = new Drive(parts, task, from, stopped.signal);
  try {
    return await drive.toEnd();
  } catch (error) {
    if (stopped.signal.aborted) await drive.handOver();
    throw error;
  }
}

class Drive<Instead> {
  readonly #parts: DriveParts<Instead>;
  readonly #task: OrderTask;
  readonly #stopped: AbortSignal;
  #checkpoint: Checkpoint;
  /** What this drive has saved last. Before the first save, a predecessor may have announced challenges. */
  #saved: Checkpoint | undefined;
  #toldCa = false;

  constructor(parts: DriveParts<Instead>, task: OrderTask, from: Checkpoint, stopped: AbortSignal) {
    const initiateChallenge = (url: string) => {
      this.#toldCa = true;
      return parts.acme.initiateChallenge(url);
    };
    const finalize: OrderParts['acme']['finalize'] = (order, csr) => {
      const at = parts.clock.now();
      this.#noteFinalize(at);
      return parts.acme.finalize(order, csr).catch(error => {
        if (!mayBeAtIt(error, parts.clock.now() - at)) this.#noteFinalize(undefined);
        throw error;
      });
    };
    this.#parts = { ...parts, acme: { ...parts.acme, initiateChallenge, finalize } };
    this.#task = task;
    this.#checkpoint = from;
    this.#stopped = stopped;
  }

  /** It is saved only where the step fails, or is handed over. */
  #noteFinalize(finalizedAt: number | undefined): void {
    this.#checkpoint = { ...this.#checkpoint, order: { ...this.#checkpoint.order, finalizedAt } };
  }

  async toEnd(): Promise<Driven<Instead>> {
    for (let act = await this.#take({ saw: 'nothing' }); ; ) {
      this.#stopped.throwIfAborted();
      const next: Act | Driven<Instead> = await this.#step(act).catch(error => this.#afterFailure(error));
      if ('end' in next) return next;
      act = next;
    }
  }

  /**
   * @returns what is to be done next; a step that has begun is taken to its end, and saved, before the drive
   *   stops
   */
  async #step(act: Act): Promise<Act | Driven<Instead>> {
    switch (act.do) {
      case 'end': {
        const { chain, certificate } = act;
        return { end: 'issued', chain, certificate, checkpoint: this.#checkpoint };
      }
      case 'wait':
        return this.#wait(act.until);
      case 'create': {
        const held = await this.#askLeave();
        if (held) return held;
      }
    }
    return this.#take(await perform(this.#parts, this.#task, this.#checkpoint, act));
  }

  /** Takes in what was seen, and saves what must outlive this process before anything is done. */
  async #take(seen: Seen): Promise<Act> {
    const { clock, paces } = this.#parts;
    const { order } = this.#checkpoint;
    if (paces && seen.saw === 'order') learnPace(paces, seen.order, order, clock.now());
    const { state, act } = nextStep(order, seen, clock.now(), paces);
    if (state === order || act.do === 'end') return act;
    const next = afterStep(this.#checkpoint, state, clock.now());
    const isFirst = !this.#saved || this.#checkpoint.failures > 0; // of this drive, or after failures
    if (isFirst || mustOutlive(order, state)) await this.#save(next);
    else this.#checkpoint = next;
    return act;
  }

  async #save(checkpoint: Checkpoint): Promise<void> {
    await this.#parts.save(checkpoint);
    this.#checkpoint = checkpoint;
    this.#saved = checkpoint;
  }

  async #saveRest(): Promise<void> {
    if (this.#saved !== this.#checkpoint) await this.#save(this.#checkpoint);
  }

  async #askLeave(): Promise<Act | Driven<Instead> | undefined> {
    const leave = await this.#parts.mayOrder?.(this.#checkpoint);
    if (leave?.do === 'wait') return { end: 'later', until: leave.until, why: leave.why };
    if (leave?.do === 'use') return { end: 'instead', instead: leave.instead };
    const begun = this.#checkpoint.begun ?? this.#parts.clock.now();
    this.#checkpoint = { ...this.#checkpoint, begun, turn: leave?.turn };
    if (leave?.do !== 'resume') return undefined;
    const { url, finalizedAt } = leave;
    return this.#take({ saw: 'kept', url, finalizedAt });
  }

  async #wait(until: number): Promise<Act | Driven<Instead>> {
    const { clock, longestWait, longestTold = LONGEST_ORDER } = this.#parts;
    const { begun, order } = this.#checkpoint;
    const now = clock.now();
    const longest = order.presentedAt === undefined ? longestTold : LONGEST_ORDER;
    const since = longest < LONGEST_ORDER ? (order.initiatedAt ?? begun) : begun;
    if (until - (since ?? now) > longest) throw new StillWorkingError(until, now, longest);
    const wait = until - now;
    if (wait > longestWait) {
      await this.#saveRest();
      return { end: 'later', until };
    }
    await clock.sleep(wait, this.#stopped);
    return this.#take({ saw: 'nothing' });
  }

  async #afterFailure(error: unknown): Promise<Act | Driven<Instead>> {
    this.#stopped.throwIfAborted();
    const failed: Verdict = { do: 'fail', error };
    const verdict =
      error instanceof StillWorkingError ? failed : await this.#parts.judge(error, this.#checkpoint);
    if (verdict.do === 'fail') {
      await this.#giveUp(error instanceof OrderEndedError);
      throw verdict.error;
    }
    const withNewOrder = verdict.withNewOrder || error instanceof OrderEndedError;
    if (withNewOrder) await this.#withdraw();
    await this.#save(afterFailedStep(this.#checkpoint, withNewOrder));
    const holdsSlot = this.#parts.longestWait < Number.POSITIVE_INFINITY; // that other orders wait for
    return holdsSlot ? { end: 'later', until: verdict.at } : this.#wait(verdict.at);
  }

  /** An order that has not ended may still be good: a later drive presents all anew. */
  async #giveUp(hasEnded: boolean): Promise<void> {
    const { order } = this.#checkpoint;
    if (order.challenges.length > 0) await this.#withdraw();
    const failed = afterFailedStep(this.#checkpoint, hasEnded);
    await this.#save(hasEnded ? failed : { ...failed, order: leftState(order) });
  }

  async #withdraw(): Promise<void> {
    const { order } = this.#checkpoint;
    try {
      await withdrawAll(this.#parts, order.challenges);
    } catch (error) {
      const reason = describeError(error);
      this.#parts.warn?.(`challenge responses of order ${order.url} remain until they expire: ${reason}`);
    }
  }

  /** The next drive may be hours away: responses that were not announced to the CA do not wait for it. */
  async handOver(): Promise<void> {
    const isFinalizing = this.#checkpoint.order.finalizedAt !== undefined; // which is not sent twice
    if (!this.#saved && !isFinalizing) return;
    const order = this.#toldCa || isFinalizing ? undefined : beforeHandOver(this.#checkpoint.order);
    if (order) await takeBack(this.#parts, order, () => this.#save({ ...this.#checkpoint, order }));
    else await this.#saveRest().catch(() => {}); // the next drive asks the CA
  }
}

/**
 * A step that succeeded ends the failures in a row; an order that is sent without `replaces` may count for
 * the limits.
 */
function afterStep(checkpoint: Checkpoint, order: OrderState, now: number): Checkpoint {
  const begun = checkpoint.begun ?? now;
  const turn = order.url === undefined ? undefined : checkpoint.turn;
  return { ...checkpoint, order, failures: 0, begun, turn };
}
