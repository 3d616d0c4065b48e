import type { OrderState } from './order-state.ts';

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
