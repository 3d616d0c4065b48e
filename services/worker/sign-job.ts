import { problemKind } from '../../shared/acme/problem.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import { advanceOrder, beforeHandOver } from '../../shared/order/advance-order.ts';
import { newOrderState } from '../../shared/order/order-state.ts';
import { LockLostError } from '../../shared/queue/sign-records.ts';
import { beforeNewOrder } from './before-order.ts';
import { finish, giveUp, keep, tell, toResult, withdraw } from './end-job.ts';
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
    return await (run.resultWritten ? finish(run, run.resultWritten) : driveOrder(run, signals));
  } finally {
    ended.abort(new Error('the job has ended'));
  }
}

async function driveOrder(
  run: Run,
  signals: { stopping: AbortSignal; abort: AbortSignal },
): Promise<SignJobEnd> {
  const reached = await reachResult(run, signals).catch(async error => {
    // Of a step that was cut off nobody knows what the CA has heard.
    if (signals.stopping.aborted && !signals.abort.aborted) await takeBack(run);
    throw error;
  });
  if ('end' in reached) return reached;
  // From here on the order is over: whatever fails now must not turn a certificate into an error.
  if (reached.fresh && reached.result.outcome === 'issued') await keep(run, reached.result.chain);
  return tell(run, reached.result);
}

async function reachResult(
  run: Run,
  signals: { stopping: AbortSignal; abort: AbortSignal },
): Promise<Reached | Later> {
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
      if (step.until - begunAt(run) > LONGEST_JOB) return await giveUp(run, tooSlow());
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

/** Whoever goes on with the order may do so much later: until then nothing is left of what the CA does not know of. */
async function takeBack(run: Run): Promise<void> {
  const { checkpoint, job, log, parts } = run;
  const order = run.moved && beforeHandOver(checkpoint.order); // else a predecessor may have told the CA
  if (!order) return;
  try {
    await parts.records.writeCheckpoint(job.lock, { ...checkpoint, order });
    await withdraw(run);
  } catch (error) {
    log.warn({ reason: describeError(error), order: order.url }, 'challenge responses are not taken back');
  }
}

/** What it waited for before is no reason to give an order up. */
const begunAt = ({ checkpoint, parts }: Run) => checkpoint.begun ?? parts.clock.now();

const tooSlow = () => new IssuanceError('unavailable', 'the CA does not finish the order within an hour');

async function afterFailure(run: Run, error: unknown): Promise<Reached | Later> {
  const { parts, job, log } = run;
  await confirmLock(run); // else it would withdraw what its successor presents
  const { initiatedAt } = run.checkpoint.order;
  const unanswered = initiatedAt !== undefined && parts.outages.anySince(initiatedAt);
  const told = await rememberLimits(parts, job.data, error, unanswered);
  const { failures, lostOrders } = run.checkpoint;
  const outcome = jobOutcome(told, { begunAt: begunAt(run), failures, lostOrders }, parts.clock.now());
  if (outcome.do === 'fail') return giveUp(run, told);
  log.warn(
    { reason: describeError(told), order: run.checkpoint.order.url, again: new Date(outcome.at) },
    'step failed',
  );
  if (told instanceof IssuanceError && problemKind(told.problem) === 'accountDoesNotExist')
    await renewAccount(run);
  if (outcome.withNewOrder) await withdraw(run);
  // A new order is a new one to the CA's limits too.
  run.checkpoint = outcome.withNewOrder
    ? { ...run.checkpoint, order: newOrderState(), turn: undefined, lostOrders: lostOrders + 1 }
    : run.checkpoint;
  run.checkpoint.failures = failures + 1;
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
