import { setImmediate } from 'node:timers/promises';
import { newPollPaces } from '../../../shared/ca/poll-paces.ts';
import { driveOrder } from '../../../shared/order/drive-order.ts';
import type { DriveParts } from '../../../shared/order/drive-parts.ts';
import { newCheckpoint } from '../../../shared/order/next-step.ts';
import type { Checkpoint, OrderTask } from '../../../shared/order/order-state.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';
import type { ScriptedCa } from './scripted-ca.ts';

export const taskFor = (...names: string[]): OrderTask => ({
  identifiers: names.map(value => ({ type: 'dns', value })),
  csr: Buffer.from('a CSR'),
});

export type TestParts = DriveParts & { clock: TurnedClock; signal: AbortSignal; saved: Checkpoint[] };

/** All that a drive needs: what it saves is kept as text would be, and no step that failed is tried again. */
export function partsFor(ca: ScriptedCa, clock = turnedClock(0)): TestParts {
  const saved: Checkpoint[] = [];
  return {
    acme: ca,
    solvers: [ca.solver],
    clock,
    signal: new AbortController().signal,
    longestWait: Number.POSITIVE_INFINITY,
    saved,
    async save(checkpoint) {
      const text = JSON.stringify(checkpoint);
      await setImmediate(); // as Redis takes its time
      saved.push(JSON.parse(text));
    },
    judge: async error => ({ do: 'fail', error }),
  };
}

/**
 * What happens to a process at its n-th save, counted from 0: nothing, a death after it, or a death before
 * it.
 */
export type Fate = (save: number) => 'lives' | 'dies after it' | 'dies before it';

/** Thrown where a process dies. */
export class DeathError extends Error {}

/**
 * Drives an order to its end, by as many processes as fate wants. @returns the chain, and how often was saved
 */
export async function driveThrough(
  parts: TestParts,
  task: OrderTask,
  { fate = () => 'lives', from = newCheckpoint() }: { fate?: Fate; from?: Checkpoint } = {},
): Promise<{ chain: string; saves: number; checkpoint: Checkpoint }> {
  let saves = 0;
  let last = from;
  const save = async (checkpoint: Checkpoint) => {
    const then = fate(saves++);
    if (then === 'dies before it') throw new DeathError();
    last = JSON.parse(JSON.stringify(checkpoint));
    await parts.save(checkpoint);
    if (then === 'dies after it') throw new DeathError();
  };
  const judge: TestParts['judge'] = async (error, checkpoint) => {
    if (error instanceof DeathError) throw error;
    return parts.judge(error, checkpoint);
  };
  for (;;) {
    try {
      const end = await driveOrder({ ...parts, save, judge }, task, last);
      if (end.end !== 'issued') throw new Error(`the drive ended with ${end.end}`);
      return { chain: end.chain, saves, checkpoint: end.checkpoint };
    } catch (error) {
      if (!(error instanceof DeathError)) throw error;
    }
  }
}

export const withPaces = (parts: TestParts): TestParts => ({ ...parts, paces: newPollPaces() });
