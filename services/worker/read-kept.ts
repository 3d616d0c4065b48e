import type { Clock } from '../../shared/base/basics.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Checkpoint } from '../../shared/order/order-state.ts';
import { isSavedProgress, type SavedProgress } from '../../shared/queue/saved-progress.ts';
import type { SignRecords } from '../../shared/queue/sign-records.ts';
import type { SignJob } from './sign-job-parts.ts';

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
