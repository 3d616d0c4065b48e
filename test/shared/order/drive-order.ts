import { advanceOrder } from '../../../shared/order/advance-order.ts';
import { newOrderState, type OrderState, type OrderTask } from '../../../shared/order/order-state.ts';
import type { OrderParts, OrderStep } from '../../../shared/order/order-step.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';
import type { ScriptedCa } from './scripted-ca.ts';

export const taskFor = (...names: string[]): OrderTask => ({
  identifiers: names.map(value => ({ type: 'dns', value })),
  csr: Buffer.from('a CSR'),
});

export function partsFor(
  ca: ScriptedCa,
  clock: TurnedClock = turnedClock(0),
): OrderParts & { clock: TurnedClock } {
  return { acme: ca, solvers: [ca.solver], clock, signal: new AbortController().signal };
}

/** What happens to a process after a step, counted from 0: nothing, a restart, or a death before the state was saved. */
export type Fate = (step: number) => 'lives' | 'restarts' | 'dies before it saves';

export type Driven = { chain: string; state: OrderState; steps: number; waits: number[] };

/** Drives an order to its end as a worker does, with a clock that is turned instead of waited for. */
export async function driveOrder(
  parts: OrderParts & { clock: TurnedClock },
  task: OrderTask,
  { fate = () => 'lives', from = newOrderState() }: { fate?: Fate; from?: OrderState } = {},
): Promise<Driven> {
  let state = from;
  let seen: Extract<OrderStep, { next: 'continue' }>['seen'];
  const waits: number[] = [];
  for (let steps = 1; steps < 50; steps++) {
    const step = await advanceOrder(parts, task, state, seen);
    const then = fate(steps - 1);
    if (then === 'dies before it saves') {
      seen = undefined;
      continue;
    }
    state = JSON.parse(JSON.stringify(step.state));
    if (step.next === 'issued') return { chain: step.chain, state, steps, waits };
    seen = step.next === 'continue' && then === 'lives' ? step.seen : undefined;
    if (step.next !== 'wait') continue;
    waits.push(step.until - parts.clock.now());
    parts.clock.turn(step.until - parts.clock.now());
  }
  throw new Error(`the order comes to no end: ${JSON.stringify(state)}`);
}
