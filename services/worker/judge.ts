import type { AcmeAccount } from '../../shared/acme/client.ts';
import { problemKind, refusesCsr, saysAccountIsGone } from '../../shared/acme/problem.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Limit } from '../../shared/limits/limits.ts';
import type { Verdict } from '../../shared/order/drive-parts.ts';
import { goesElsewhere, retryTime } from '../../shared/order/fail-over.ts';
import { noteUnreachable, toLeft } from '../../shared/order/leave-account.ts';
import type { Checkpoint } from '../../shared/order/order-state.ts';
import { rememberFailure, toPausedEvent } from '../../shared/order/remember-failure.ts';
import { namesOf, ordererOf, patienceOf, type SignRun } from './job.ts';

export const LONGEST_JOB = 3_600_000;
const RETRIES = {
  mostFailures: Number.POSITIVE_INFINITY,
  longestWait: Number.POSITIVE_INFINITY,
  longestOrder: LONGEST_JOB,
  mostNewOrders: 5,
};
export const BREAKER_CLOSED = 'the CA answers again, breaker closed';

/** Decides on an order whose step failed: try again here, go to the next account, or fail the job. */
export async function judge(
  run: SignRun,
  ca: Ca,
  account: AcmeAccount,
  error: unknown,
  checkpoint: Checkpoint,
): Promise<Verdict> {
  const { parts, job, log } = run;
  if (isStorageFault(error)) return { do: 'fail', error }; // which says nothing of the CA
  await parts.records.confirmLock(job.lock); // else it would withdraw what its successor presents
  const told = toldSince(run, checkpoint);
  const unanswered = told !== undefined && parts.outages.anySince(told);
  const remembered = await rememberFailure(
    ca,
    job.data.identifiers,
    ordererOf(run),
    error,
    unanswered,
    limit => onLimit(run, ca, limit),
  );
  const known = saysAccountIsGone(remembered)
    ? await renewAccount(run, ca, account, remembered, checkpoint.lostOrders)
    : remembered;
  if (known instanceof IssuanceError && refusesCsr(known) && checkpoint.order.url !== undefined)
    await ca.limits.rememberCsr(run.csr.digest, job.data.identifiers, known);
  const now = parts.clock.now();
  const retry = retryTime(known, checkpoint, now, RETRIES);
  const unreachable = await noteUnreachable(ca, known, log);
  if (known instanceof IssuanceError && known.problem && known.code !== 'unavailable')
    await noteAnswer(run, ca, known);
  const hasOthers = job.data.accounts.length > 1;
  if (hasOthers && known instanceof IssuanceError && goesElsewhere(known, patienceOf(job), unreachable)) {
    return { do: 'fail', error: toLeft(ca.name, known, retry?.at) };
  }
  const waited = hasOthers ? waitForLimit(known) : undefined;
  if (!retry && !waited) return { do: 'fail', error: known };
  const verdict = retry ?? { at: waited ?? now, withNewOrder: false };
  const again = new Date(verdict.at);
  log.warn(
    { reason: describeError(known), order: checkpoint.order.url, account: ca.name, again },
    'step failed',
  );
  return { do: 'retry', ...verdict };
}

/**
 * Since when the CA may have looked at what was presented. An earlier run, of which only that is known, has
 * told it at some time since the job was made.
 */
function toldSince({ job }: SignRun, { order: { initiatedAt, challenges } }: Checkpoint): number | undefined {
  return initiatedAt ?? (challenges.length > 0 ? job.createdAt : undefined);
}

/** A refusal is an answer too. Operators are notified, once, of a refusal of the account itself. */
async function noteAnswer({ parts, job, log }: SignRun, ca: Ca, refusal: IssuanceError): Promise<void> {
  if (ca.breaker.suspected && (await ca.breaker.answered())) log.info({ account: ca.name }, BREAKER_CLOSED);
  if (refusal.code !== 'misconfigured' || problemKind(refusal.problem) === 'invalidProfile') return;
  ca.account.note(refusal);
  const subject = accountSubject(ca.name);
  await parts.notices.notify({
    kind: 'account-paused',
    subject,
    names: namesOf(job),
    detail: refusal.message,
  });
}

export const accountSubject = (account: string) => `account/${account}`;

const waitForLimit = (error: unknown) =>
  error instanceof IssuanceError && error.code === 'rateLimited' ? error.retryAfter : undefined;

async function onLimit({ parts, log }: SignRun, ca: Ca, limit: Limit): Promise<void> {
  const { key, until, detail } = limit;
  log.warn(
    { account: ca.name, limit: key, until: until && new Date(until), reason: detail },
    key.startsWith('slow/') ? 'auth block slowed down' : 'CA rate limit hit',
  );
  const event = toPausedEvent(limit);
  if (event) await parts.notices.notify(event);
}

/**
 * @param lostOrders how often this job has begun anew: an account that the CA refuses is looked up by its key
 *   once
 * @returns the error for the client if the account cannot be had again; else the given one, which a new order
 *   ends
 */
async function renewAccount(
  { log, signals }: SignRun,
  ca: Ca,
  lost: AcmeAccount,
  error: unknown,
  lostOrders: number,
): Promise<unknown> {
  try {
    const renewed = await ca.account.renew(lost, signals.abort);
    const isTheSame = renewed.url === lost.url;
    if (!isTheSame || lostOrders === 0) return error;
    const detail = `the CA refuses the account that it has for the key: ${describeError(error)}`;
    return new IssuanceError('misconfigured', detail, { cause: error });
  } catch (failure) {
    log.warn(
      { account: ca.name, reason: describeError(failure) },
      'the account is gone and cannot be made anew',
    );
    const refused = failure instanceof IssuanceError && failure.code === 'misconfigured';
    return refused ? failure : error;
  }
}
