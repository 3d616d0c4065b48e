import { IssuanceError } from '../../shared/base/errors.ts';

const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 60_000;
/** Milliseconds from when its turn came, after which a job is given up. */
export const LONGEST_JOB = 3_600_000;
const MOST_NEW_ORDERS = 5;

/** What becomes of a job whose step failed; times are in milliseconds since the epoch. */
export type JobOutcome = { do: 'retry'; at: number; withNewOrder: boolean } | { do: 'fail' };

/**
 * A CA that is away or that has forgotten the order is waited for; all else is the client's to know.
 *
 * @param job when its turn came, how often in a row it failed, how many orders were lost
 */
export function jobOutcome(
  error: unknown,
  job: { begunAt: number; failures: number; lostOrders: number },
  now: number,
): JobOutcome {
  if (!(error instanceof IssuanceError)) return { do: 'fail' };
  if (error.code !== 'unavailable' && error.code !== 'gone') return { do: 'fail' };
  if (error.code === 'gone' && job.lostOrders >= MOST_NEW_ORDERS) return { do: 'fail' };
  const inVain = Math.max(job.failures, job.lostOrders); // a new order ends the failures in a row, but proves nothing
  const backoff = Math.min(FIRST_RETRY * 2 ** inVain, LONGEST_RETRY) * (0.75 + Math.random() / 2);
  const at = Math.max(error.retryAfter ?? 0, now + backoff);
  if (at - job.begunAt > LONGEST_JOB) return { do: 'fail' };
  return { do: 'retry', at, withNewOrder: error.code === 'gone' };
}
