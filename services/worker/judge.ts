import type { AcmeAccount } from '../../shared/acme/client.ts';
import { problemKind, saysAccountIsGone } from '../../shared/acme/problem.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { describeError, IssuanceError } from '../../shared/base/basics.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Limit } from '../../shared/limits/limits.ts';
import { mayOrder, rememberFailure, toPausedEvent } from '../../shared/order/acts.ts';
import type { Leave, Verdict } from '../../shared/order/drive-order.ts';
import { goesElsewhere, retryTime } from '../../shared/order/fail-over.ts';
import { noteUnreachable, toLeft } from '../../shared/order/leave-account.ts';
import type { Checkpoint, OrderTask } from '../../shared/order/next-step.ts';
import { isIssuedFor } from '../../shared/storage/issued-for.ts';
import type { StoredCertificate } from '../../shared/storage/storage.ts';
import { flightOf, namesOf, patienceOf, type SignRun, toClaim } from './job.ts';

// The driver of orders asks a worker whether an order may be made, and what to do after a step that failed.

export const LONGEST_JOB = 3_600_000;
const RETRIES = {
  mostFailures: Number.POSITIVE_INFINITY,
  longestWait: Number.POSITIVE_INFINITY,
  longestOrder: LONGEST_JOB,
  mostNewOrders: 5,
};
const FLIGHT_RETRY = 1_000;
/** A renewal's wait may be over sooner than expected, as when an operator clears a limit. */
const LONGEST_NAP = 600_000;
const BREAKER_CLOSED = 'the CA answers again, breaker closed';

/**
 * Looks for what can save the CA a request: another job's order for the same names, after which the
 * certificate may be there already, and limits that are known to stand, or that jobs before this one use up.
 */
export async function askLeave(
  run: SignRun,
  ca: Ca,
  task: OrderTask,
  checkpoint: Checkpoint,
): Promise<Leave<StoredCertificate>> {
  const { parts, job } = run;
  const now = parts.clock.now();
  const flight = flightOf(job.data, ca.name);
  const limitKeys = ca.limits.keysAgainst(task.identifiers);
  const limits = await parts.records.enterFlight(job.lock.jobId, flight, limitKeys);
  if (!limits) return { do: 'wait', until: now + FLIGHT_RETRY };
  const stored = await findStored(run);
  if (stored) return { do: 'use', instead: stored };
  task.replaces ??= await findReplaced(run, ca);
  const order = { renews: task.replaces !== undefined && !checkpoint.order.replaced, turn: checkpoint.turn };
  const claim = toClaim(job);
  const standing = ca.limits.findStanding(limits);
  const permission = await mayOrder(ca, standing, task.identifiers, order, claim, run.signals.abort);
  if (permission.may) return { do: 'order', turn: permission.turn };
  const { limit, waits } = permission;
  const until = limit.retryAfter;
  if (until === undefined || !(waits || isWorthWaiting(run, until))) throw limit;
  await parts.records.leaveFlight(job.lock.jobId, flight); // others may order the same names meanwhile
  return { do: 'wait', until: Math.min(until, now + LONGEST_NAP) };
}

/** A limit that ends in time is waited for by a renewal, and by a post that would else go to another CA. */
function isWorthWaiting({ job }: SignRun, until: number): boolean {
  const { due, accounts } = job.data;
  return due === undefined ? accounts.length > 1 && until <= patienceOf(job) : until <= due;
}

/** Never answer a renewal with the certificate it replaces. */
async function findStored({ parts, job, csr }: SignRun): Promise<StoredCertificate | undefined> {
  const { storage, due, accounts } = job.data;
  const all = [...parts.cas.values()].map(({ name, directoryUrl }) => ({
    account: name,
    directory: directoryUrl,
  }));
  const wanted = all.filter(one => accounts.some(({ account }) => account === one.account));
  const stored = await parts.storages.get(storage)?.get(csr, found => isIssuedFor(found, wanted, all));
  return stored && (due === undefined || stored.leaf.notAfter > due) ? stored : undefined;
}

/**
 * A post of a CSR whose stored certificate is about to expire renews it, and CAs like to know (RFC 9773
 * section 5).
 */
async function findReplaced({ parts, job, csr }: SignRun, ca: Ca): Promise<string | undefined> {
  if (job.data.replaces) return undefined;
  const upkeep = parts.storages.get(job.data.storage)?.upkeep;
  const kept = await upkeep?.read(upkeep.keyOf(csr));
  if (!kept || kept.leaf.notAfter <= parts.clock.now()) return undefined;
  const isIssuer = kept.issuedBy ? kept.issuedBy.directory === ca.directoryUrl : true;
  return isIssuer ? renewalInfoId(kept.chain) : undefined;
}

/** Decides on an order whose step failed: try again here, go to the next account, or fail the job. */
export async function judge(
  run: SignRun,
  ca: Ca,
  account: AcmeAccount,
  error: unknown,
  checkpoint: Checkpoint,
): Promise<Verdict> {
  const { parts, job, log } = run;
  await parts.records.confirmLock(job.lock); // else it would withdraw what its successor presents
  const { initiatedAt } = checkpoint.order;
  const unanswered = initiatedAt !== undefined && parts.outages.anySince(initiatedAt);
  const remembered = await rememberFailure(ca, job.data.identifiers, error, unanswered, limit =>
    onLimit(run, ca, limit),
  );
  const known = saysAccountIsGone(remembered) ? await renewAccount(run, ca, account, remembered) : remembered;
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

/** A refusal is an answer too. Operators are notified, once, of a refusal of the account itself. */
async function noteAnswer({ parts, job, log }: SignRun, ca: Ca, refusal: IssuanceError): Promise<void> {
  if (await ca.breaker.answered()) log.info({ account: ca.name }, BREAKER_CLOSED);
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

/** After a step that succeeded, CA and account are well. */
export async function noteSuccess({ parts, log }: SignRun, ca: Ca): Promise<void> {
  if (await ca.breaker.answered()) log.info({ account: ca.name }, BREAKER_CLOSED);
  if (ca.account.fault() === undefined) return;
  ca.account.note(undefined);
  await parts.notices.ended(accountSubject(ca.name), ['account-paused']);
}

export const accountSubject = (account: string) => `account/${account}`;

const waitForLimit = (error: unknown) =>
  error instanceof IssuanceError && error.code === 'rateLimited' ? error.retryAfter : undefined;

async function onLimit({ parts, log }: SignRun, ca: Ca, limit: Limit): Promise<void> {
  const { key, until, detail } = limit;
  log.warn(
    { account: ca.name, limit: key, until: until && new Date(until), reason: detail },
    'CA rate limit hit',
  );
  const event = toPausedEvent(limit);
  if (event) await parts.notices.notify(event);
}

/**
 * @returns the error for the client if the account cannot be had again; else the given one, which a new order
 *   ends
 */
async function renewAccount(
  { log, signals }: SignRun,
  ca: Ca,
  lost: AcmeAccount,
  error: unknown,
): Promise<unknown> {
  try {
    await ca.account.renew(lost, signals.abort);
    return error;
  } catch (failure) {
    log.warn(
      { account: ca.name, reason: describeError(failure) },
      'the account is gone and cannot be made anew',
    );
    const refused = failure instanceof IssuanceError && failure.code === 'misconfigured';
    return refused ? failure : error;
  }
}
