import type { Clock } from '../../shared/base/basics.ts';
import { IssuanceError, isFailureCode } from '../../shared/base/errors.ts';
import { isFlag, isNumber, isText, listOf, optional, shapeOf } from '../../shared/base/redis.ts';
import type { Refusal } from '../../shared/order/fail-over.ts';
import type { Checkpoint, OrderChallenge, OrderState } from '../../shared/order/order-state.ts';
import type { SignRecords } from '../../shared/queue/sign-records.ts';
import type { SignJob } from './sign-job-parts.ts';

/** Saved after every step of a job. */
export type SavedProgress = {
  /** How far the order at each account is. */
  orders: Record<string, Checkpoint>;
  /** The accounts that have refused in this round over all of them. */
  refusals: Refusal[];
  /** Whether CAs that do not offer the certificate profile are asked without it. */
  withoutProfile?: true;
};

const isChallenge = shapeOf<Omit<OrderChallenge, 'persist' | 'told'>>({
  ...{ identifier: shapeOf({ type: isText, value: isText }), url: isText, token: isText, solver: isText },
});
const isOrder = shapeOf<Pick<OrderState, 'url' | 'challenges' | 'initiated' | 'polls'>>({
  ...{ url: optional(isText), challenges: listOf(isChallenge), initiated: isFlag, polls: isNumber },
});
const isCheckpoint = shapeOf<Omit<Checkpoint, 'turn'>>({
  ...{ order: isOrder, failures: isNumber, lostOrders: isNumber, begun: optional(isNumber) },
});
const isRefusal = shapeOf<Pick<Refusal, 'account' | 'code' | 'detail' | 'until'>>({
  ...{ account: isText, code: isFailureCode, detail: isText, until: optional(isNumber) },
});
const hasOrders = (value: unknown) =>
  typeof value === 'object' && value !== null && Object.values(value).every(isCheckpoint);
const isSavedProgress = shapeOf<SavedProgress>({
  ...{ orders: hasOrders, refusals: listOf(isRefusal), withoutProfile: optional(isFlag) },
});

/** Longer than any pause between two looks, and than a CA is believed that asks for a pause. */
const LONGEST_PAUSE = 3_600_000;
const LONGEST_WAIT = 15 * 24 * 3_600_000;

/**
 * Nothing was done later than now, and nobody refuses for longer than the rules allow: else a clock that was
 * ahead has written it.
 */
function drawBack(saved: SavedProgress, now: number): SavedProgress {
  const orders = Object.entries(saved.orders).map(([account, checkpoint]): [string, Checkpoint] => {
    const { presentedAt, initiatedAt, finalizedAt, lookAt } = checkpoint.order;
    const done = noneAfter(now, { presentedAt, initiatedAt, finalizedAt });
    const order = { ...checkpoint.order, ...done, ...noneAfter(now + LONGEST_PAUSE, { lookAt }) };
    return [account, { ...checkpoint, ...noneAfter(now, { begun: checkpoint.begun }), order }];
  });
  const refusals = saved.refusals.filter(({ until = 0 }) => until <= now + LONGEST_WAIT);
  return { ...saved, orders: Object.fromEntries(orders), refusals };
}

/** Those of the times that are there, at the latest the one. */
function noneAfter<Name extends string>(
  latest: number,
  times: Record<Name, number | undefined>,
): Partial<Record<Name, number>> {
  const known = Object.entries<number | undefined>(times).filter(([, time]) => time !== undefined);
  return Object.fromEntries(known.map(([name, time = 0]) => [name, Math.min(time, latest)])) as Partial<
    Record<Name, number>
  >;
}

/** What an earlier run has kept of a job, or which of it is damaged. */
export async function readKept(
  { records, clock }: { records: SignRecords; clock: Pick<Clock, 'now'> },
  { lock }: SignJob,
) {
  try {
    const { checkpoint, resultWritten } = await records.readJob(lock.jobId, isSavedProgress);
    return {
      checkpoint: checkpoint && drawBack(checkpoint, clock.now()),
      resultWritten,
      damage: undefined,
    };
  } catch (damage) {
    if (!(damage instanceof IssuanceError)) throw damage;
    return { checkpoint: undefined, resultWritten: undefined, damage };
  }
}
