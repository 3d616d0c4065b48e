import { describeError, IssuanceError } from '../base/errors.ts';
import { advanceOrder, beforeHandOver, withdrawChallenges } from '../order/advance-order.ts';
import type { OrderState, OrderTask } from '../order/order-state.ts';
import type { OrderParts, OrderStep } from '../order/order-step.ts';

/** As long as a sign job may take. */
const DEADLINE = 3_600_000;
/** A CA that is away is asked so often in a row. */
const MOST_FAILURES = 4;
const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 60_000;
/** How long taking back may take when a run is stopped. */
const LAST_STEP = 3_000;

export type Issued = Extract<OrderStep, { next: 'issued' }>;

/**
 * Drives an order to its end in one go.
 *
 * @param save gets the state after every step, before the next; what it saved last is what a later run goes on from
 * @throws IssuanceError when the order cannot be had, or not now: then nothing is presented any more, unless the CA is
 *   away; or the signal's reason: then nothing is presented that the CA was not told of
 */
export async function driveOrder(
  parts: OrderParts,
  task: OrderTask,
  from: OrderState,
  save: (state: OrderState) => Promise<void>,
): Promise<Issued> {
  let saved: OrderState | undefined; // before that a predecessor may have told the CA
  let told = false;
  const initiateChallenge = (url: string) => {
    told = true;
    return parts.acme.initiateChallenge(url);
  };
  const keep = async (state: OrderState) => {
    await save(state);
    saved = state;
  };
  try {
    return await followOrder({ ...parts, acme: { ...parts.acme, initiateChallenge } }, task, from, keep);
  } catch (error) {
    if (parts.signal.aborted && saved && !told) await takeBack(parts, saved, save);
    throw error;
  }
}

async function followOrder(
  parts: OrderParts,
  task: OrderTask,
  from: OrderState,
  save: (state: OrderState) => Promise<void>,
): Promise<Issued> {
  const { clock, signal } = parts;
  const deadline = clock.now() + DEADLINE;
  let state = from;
  let seen: Extract<OrderStep, { next: 'continue' }>['seen'];
  let failures = 0;
  for (;;) {
    signal.throwIfAborted();
    try {
      const step = await advanceOrder(parts, task, state, seen);
      if (step.next === 'issued') return step;
      await save(step.state);
      state = step.state;
      seen = step.next === 'continue' ? step.seen : undefined;
      failures = 0;
      if (step.next !== 'wait') continue;
      if (step.until > deadline) throw tooSlow();
      await clock.sleep(step.until - clock.now(), signal);
    } catch (error) {
      signal.throwIfAborted();
      const wait = waitAfter(error, failures++, clock.now());
      if (wait === undefined) {
        await giveUp(parts, state, save);
        throw error;
      }
      await clock.sleep(wait, signal);
      seen = undefined;
    }
  }
}

const tooSlow = () => new IssuanceError('challengeFailed', 'the CA does not finish the order within an hour');

/** How long to wait before another try; `undefined` where it would be in vain. */
function waitAfter(error: unknown, failures: number, now: number): number | undefined {
  if (!(error instanceof IssuanceError) || error.code !== 'unavailable' || failures >= MOST_FAILURES)
    return undefined;
  const wait = Math.max((error.retryAfter ?? now) - now, FIRST_RETRY * 2 ** failures);
  return wait > LONGEST_RETRY ? undefined : wait;
}

/** The order itself may still be good: a later run presents all anew. */
async function giveUp(
  parts: OrderParts,
  state: OrderState,
  save: (state: OrderState) => Promise<void>,
): Promise<void> {
  if (state.url === undefined || state.challenges.length === 0) return;
  await withdrawChallenges(parts, state);
  await save({ url: state.url, challenges: [], initiated: false, polls: 0 });
}

/** The next run may be hours away: until then nothing is left of what the CA does not know of. */
async function takeBack(
  parts: OrderParts,
  saved: OrderState,
  save: (state: OrderState) => Promise<void>,
): Promise<void> {
  const state = beforeHandOver(saved);
  if (!state) return;
  try {
    await parts.confirm?.();
    await save(state);
    await withdrawChallenges({ ...parts, signal: AbortSignal.timeout(LAST_STEP) }, state);
  } catch (error) {
    parts.warn?.(`what was presented is not taken back: ${describeError(error)}`);
  }
}
