import type { AcmeOrder } from '../acme/objects.ts';
import { linkSignals } from '../base/basics.ts';
import {
  chooseChallenges,
  fetchAuthorizations,
  refuseHopeless,
  startChallenges,
  withdrawAll,
} from './challenges.ts';
import type { Driven, DriveParts, Verdict } from './drive-parts.ts';
import {
  afterFailedStep,
  afterGivingUp,
  afterRefusedFinalize,
  afterRefusedOrder,
  failureOf,
  toUnfetched,
  withdrawAfterFailure,
} from './failed-step.ts';
import { mayBeAtIt } from './finalizing.ts';
import { beforeHandOver, takeBack } from './hand-over.ts';
import { lookAtAuthorizations } from './look.ts';
import { afterStep, isOver, learnPace, mustOutlive, nextStep } from './next-step.ts';
import { authorizationFailure, OrderEndedError } from './order-failure.ts';
import type { Act, Checkpoint, OrderTask, Seen } from './order-state.ts';
import { StillWorkingError } from './still-working.ts';

const LONGEST_ORDER = 3_600_000;

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
    this.#parts = { ...parts, acme: { ...parts.acme, initiateChallenge } };
    this.#task = task;
    this.#checkpoint = from;
    this.#stopped = stopped;
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
    const { order: state } = this.#checkpoint;
    switch (act.do) {
      case 'create':
        return (await this.#askLeave()) ?? this.#take(await this.#create());
      case 'ask':
        return this.#take({ saw: 'order', order: await this.#parts.acme.getOrder(state.url ?? '') });
      case 'choose':
        return this.#take(await this.#choose(act.order));
      case 'start':
        return this.#take(await startChallenges(this.#parts, state));
      case 'look':
        return this.#take(await lookAtAuthorizations(this.#parts, this.#task, this.#checkpoint, act.order));
      case 'wait':
        return this.#wait(act.until);
      case 'finalize':
        return this.#take(await this.#finalize(act.order));
      case 'download':
        return this.#take(await this.#download(act.certificate));
      case 'fail':
        throw await failureOf(this.#parts, this.#task, state, act.order);
      case 'end': {
        const { chain, certificate } = act;
        return { end: 'issued', chain, certificate, checkpoint: this.#checkpoint };
      }
    }
  }

  /** Names that no solver could prove are refused before the CA is asked. */
  async #create(): Promise<Seen> {
    const { acme, solvers } = this.#parts;
    const { identifiers, certificateProfile: profile } = this.#task;
    refuseHopeless(identifiers, solvers);
    const replaces = this.#checkpoint.order.replaced ? undefined : this.#task.replaces;
    try {
      return { saw: 'order', order: await acme.newOrder(identifiers, { profile, replaces }) };
    } catch (error) {
      return afterRefusedOrder(error, replaces);
    }
  }

  async #choose(order: AcmeOrder): Promise<Seen> {
    const { acme, solvers } = this.#parts;
    const { order: state, lostOrders } = this.#checkpoint;
    const found = await fetchAuthorizations(acme, order, this.#task.identifiers);
    if (found.some(({ authorization }) => isOver(authorization)))
      throw authorizationFailure(found, state, lostOrders);
    return { saw: 'challenges', challenges: chooseChallenges(found, solvers, state.challenges) };
  }

  /** The CA's requests are over once the order is ready, so the responses go before anything else happens. */
  async #finalize(order: AcmeOrder): Promise<Seen> {
    const { acme, clock, confirm } = this.#parts;
    await withdrawAll(this.#parts, this.#checkpoint.order.challenges);
    await confirm?.();
    const at = clock.now();
    this.#noteFinalize(at);
    try {
      return { saw: 'finalized', order: await acme.finalize(order, this.#task.csr) };
    } catch (error) {
      if (!mayBeAtIt(error, clock.now() - at)) this.#noteFinalize(undefined);
      return afterRefusedFinalize(error, order);
    }
  }

  /** It is saved only where the step fails, or is handed over. */
  #noteFinalize(finalizedAt: number | undefined): void {
    this.#checkpoint = { ...this.#checkpoint, order: { ...this.#checkpoint.order, finalizedAt } };
  }

  async #download(certificate: string): Promise<Seen> {
    const { acme, warn } = this.#parts;
    const { preferredChain, accept } = this.#task;
    const chain = await acme.downloadChain(certificate, preferredChain, warn).catch(error => {
      throw toUnfetched(error);
    });
    accept?.(chain);
    await withdrawAll(this.#parts, this.#checkpoint.order.challenges);
    return { saw: 'chain', chain, certificate };
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
    const isTooLong = error instanceof StillWorkingError;
    const failed: Verdict = { do: 'fail', error };
    const verdict = isTooLong ? failed : await this.#parts.judge(error, this.#checkpoint);
    const { order } = this.#checkpoint;
    const hasEnded = error instanceof OrderEndedError;
    if (verdict.do === 'fail') {
      await withdrawAfterFailure(this.#parts, order);
      await this.#save(afterGivingUp(this.#checkpoint, hasEnded));
      throw verdict.error;
    }
    const withNewOrder = verdict.withNewOrder || hasEnded;
    if (withNewOrder) await withdrawAfterFailure(this.#parts, order);
    await this.#save(afterFailedStep(this.#checkpoint, withNewOrder));
    const holdsSlot = this.#parts.longestWait < Number.POSITIVE_INFINITY; // that other orders wait for
    return holdsSlot ? { end: 'later', until: verdict.at } : this.#wait(verdict.at);
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
