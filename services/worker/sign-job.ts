import { problemKind } from '../../shared/acme/problem.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Shortage } from '../../shared/limits/budget.ts';
import { StandingLimitError } from '../../shared/limits/limits.ts';
import { advanceOrder } from '../../shared/order/advance-order.ts';
import { newOrderState } from '../../shared/order/order-state.ts';
import { LockLostError } from '../../shared/queue/sign-records.ts';
import { giveUp, keep, tell, toResult, withdraw } from './end-job.ts';
import { jobOutcome, LONGEST_JOB } from './job-outcome.ts';
import { rememberLimits } from './remember-limits.ts';
import {
  confirmLock,
  type Later,
  openRun,
  type Reached,
  type Run,
  type SignJob,
  type SignJobEnd,
  type SignJobParts,
  saveStep,
} from './sign-run.ts';

/** A longer wait gives the worker's slot back and comes again as a delayed job. */
const LONGEST_WAIT_IN_SLOT = 2_000;
const FLIGHT_RETRY = 1_000;

/**
 * Drives the order of one job to its end, or to a wait that is too long to sit out.
 *
 * @param signals `stopping` ends the job between two steps, `abort` at once; both reject with their reason, and the job
 *   resumes elsewhere from its last checkpoint
 */
export async function runSignJob(
  parts: SignJobParts,
  job: SignJob,
  signals: { stopping: AbortSignal; abort: AbortSignal },
): Promise<SignJobEnd> {
  const ended = new AbortController(); // of this run: a look that nobody waits for ends with it
  try {
    const run = await openRun(parts, job, AbortSignal.any([signals.abort, ended.signal]));
    return await driveOrder(run, signals);
  } finally {
    ended.abort(new Error('the job has ended'));
  }
}

async function driveOrder(run: Run, signals: { stopping: AbortSignal; abort: AbortSignal }): Promise<SignJobEnd> {
  const reached = await reachResult(run, signals);
  if ('end' in reached) return reached;
  // From here on the order is over: whatever fails now must not turn a certificate into an error.
  if (reached.fresh && reached.result.outcome === 'issued') await keep(run, reached.result.chain);
  return tell(run, reached.result);
}

async function reachResult(run: Run, signals: { stopping: AbortSignal; abort: AbortSignal }): Promise<Reached | Later> {
  const { clock } = run.parts;
  const eitherSignal = AbortSignal.any([signals.stopping, signals.abort]);
  for (;;) {
    signals.stopping.throwIfAborted();
    try {
      const held = run.checkpoint.order.url === undefined ? await beforeNewOrder(run) : undefined;
      if (held) return held;
      const step = await advanceOrder(run.order, run.task, run.checkpoint.order, run.seen);
      if (step.next === 'issued') return { result: toResult(run, step.chain), fresh: true };
      await saveStep(run, step);
      if (step.next !== 'wait') continue;
      if (step.until - run.job.createdAt > LONGEST_JOB) return await giveUp(run, tooSlow());
      const wait = step.until - clock.now();
      if (wait > LONGEST_WAIT_IN_SLOT) return { end: 'later', until: step.until };
      await clock.sleep(wait, eitherSignal);
    } catch (error) {
      eitherSignal.throwIfAborted();
      if (error instanceof LockLostError) throw error;
      return await afterFailure(run, error);
    }
  }
}

const tooSlow = () => new IssuanceError('unavailable', 'the CA does not finish the order within an hour');

/**
 * What can save the CA a request: another job's order for the same names, after which the certificate may be there
 * already, and limits that are known to stand against it.
 */
async function beforeNewOrder({ parts, job, csr }: Run): Promise<Reached | Later | undefined> {
  const { data, lock } = job;
  if (!(await parts.flights.enter(lock.jobId, data))) {
    return { end: 'later', until: parts.clock.now() + FLIGHT_RETRY };
  }
  const stored = await parts.storages.get(data.storage)?.get(csr);
  // What a renewal is to replace is no answer, however fresh.
  if (stored && (data.due === undefined || stored.leaf.notAfter > data.due))
    return { result: { outcome: 'issued', block: data.block, chain: stored.chain } };
  const standing = await parts.limits.standingAgainst(data);
  if (standing) throw standing;
  const shortage = await parts.budget.takeOrder(data, { name: data.block, ...(data.share && { share: data.share }) });
  if (shortage) throw toStandingLimit(shortage);
  return undefined;
}

function toStandingLimit({ key, until }: Shortage): StandingLimitError {
  const detail = `the CA's limit for ${key} is used up; it was not asked`;
  return new StandingLimitError('rateLimited', detail, { retryAfter: until });
}

async function afterFailure(run: Run, error: unknown): Promise<Reached | Later> {
  const { parts, job, log, checkpoint } = run;
  await confirmLock(run); // else it would withdraw what its successor presents
  const told = await rememberLimits(parts, job.data, error);
  const outcome = jobOutcome(told, { createdAt: job.createdAt, ...checkpoint }, parts.clock.now());
  if (outcome.do === 'fail') return giveUp(run, told);
  log.warn({ reason: describeError(told), order: checkpoint.order.url, again: new Date(outcome.at) }, 'step failed');
  if (told instanceof IssuanceError && problemKind(told.problem) === 'accountDoesNotExist') await renewAccount(run);
  if (outcome.withNewOrder) await withdraw(run);
  const failures = checkpoint.failures + 1;
  run.checkpoint = outcome.withNewOrder
    ? { order: newOrderState(), failures, lostOrders: checkpoint.lostOrders + 1 }
    : { ...checkpoint, failures };
  await parts.records.writeCheckpoint(job.lock, run.checkpoint);
  return { end: 'later', until: outcome.at };
}

async function renewAccount({ parts, account, order, log }: Run): Promise<void> {
  try {
    await parts.account.renew(account, order.signal);
  } catch (error) {
    log.warn({ reason: describeError(error) }, 'the account is gone and cannot be made anew yet');
  }
}
