import { describeError } from '../base/errors.ts';
import { type PresentParts, withdrawAll } from './challenges.ts';
import type { OrderState } from './order-state.ts';

/** Milliseconds that taking back may take when a run is stopped. */
const LAST_STEP = 3_000;

/**
 * What somebody who takes an order over has to know where the CA was told of none of its challenges yet: they
 * are to be withdrawn once this is saved, and are presented again later. The CA may be asking for others now;
 * they stay.
 *
 * @returns `undefined` where there is nothing to take back
 */
export function beforeHandOver({ presentedAt: _, ...state }: OrderState): OrderState | undefined {
  const told = state.initiated || state.challenges.some(challenge => challenge.told);
  if (told || state.takenBack || state.challenges.length === 0) return undefined;
  return { ...state, takenBack: true, polls: 0 };
}

/**
 * Withdraws what the CA was told nothing of, for whoever takes the order over; a failure is warned of, no
 * more.
 *
 * @param parts `confirm`: rejects where somebody else has the order by now
 * @param order what they find then
 * @param save saves that, before anything is withdrawn
 */
export async function takeBack(
  parts: PresentParts & { confirm?: () => Promise<void> },
  order: OrderState,
  save: () => Promise<void>,
): Promise<void> {
  try {
    await parts.confirm?.();
    await save();
    await withdrawAll({ ...parts, signal: AbortSignal.timeout(LAST_STEP) }, order.challenges);
  } catch (error) {
    parts.warn?.(`challenge responses are not taken back: ${describeError(error)}`);
  }
}
