import type { BlockSlots } from '../../shared/queue/block-slots.ts';
import type { HeldJob, Later } from '../../shared/queue/bullmq.ts';
import type { SignJobData } from '../../shared/queue/sign-records.ts';
import { hasNoTurn, type Turns } from '../../shared/queue/turns.ts';
import { rankOf, type SignJobEnd } from './job.ts';

/**
 * A parked job is due as soon as it has a slot; this is only for one whose slot was free without anybody
 * noticing. Milliseconds.
 */
const LONGEST_PARKED = 600_000;

/** How the jobs of different auth blocks share the workers. */
export type Sharing = {
  turns: Turns;
  /** Of the blocks that have bounds. */
  slots: ReadonlyMap<string, BlockSlots>;
};

/**
 * Asked of each job that has come back from a wait, and of those whose block has few slots.
 *
 * @returns how the job is given back, where it may not go on now
 */
export async function findObstacle(
  { turns, slots }: Sharing,
  job: HeldJob<SignJobData>,
  now: number,
): Promise<Later | undefined> {
  const { lock, data } = job;
  if (!job.isNew && hasNoTurn(job.priority) && !(await turns.resume(lock, data))) return { later: 0 };
  const ofBlock = slots.get(data.block);
  if (!ofBlock || (await ofBlock.enter(lock.jobId, rankOf(job)))) return undefined;
  return { later: now + LONGEST_PARKED, after: () => ofBlock.parked(lock.jobId) };
}

/**
 * Gives back a job that has to wait. It keeps its block's slot while a CA has an order of it: else a block
 * could have any number of orders pending at the CA, whose limit on them is for the account as a whole.
 */
export async function giveBack(
  { turns, slots }: Sharing,
  { lock, data }: HeldJob<SignJobData>,
  { until, hasOrder, why }: Extract<SignJobEnd, { end: 'later' }>,
): Promise<Later> {
  await turns.leave(lock, data, why);
  if (!hasOrder) await slots.get(data.block)?.leave(lock.jobId);
  return { later: until };
}

/** Of a job that BullMQ has failed for good. */
export function endShare({ slots }: Sharing, jobId: string, { block }: SignJobData): void {
  const left = slots.get(block)?.end(jobId);
  left?.catch(() => {}); // whoever finds no slot finds that the job is over
}
