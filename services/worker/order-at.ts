import { type AcmeAccount, openAcmeClient } from '../../shared/acme/client.ts';
import type { Directory } from '../../shared/acme/objects.ts';
import { saysAccountIsGone } from '../../shared/acme/problem.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import type { AccountChoice } from '../../shared/admission/account-choice.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Limit } from '../../shared/limits/limits.ts';
import { type Driven, driveOrder, type Leave, type Verdict } from '../../shared/order/drive-order.ts';
import { goesElsewhere, retryTime } from '../../shared/order/fail-over.ts';
import {
  admit,
  BREAKER_RETRY,
  currentAccount,
  LeftError,
  noteUnreachable,
  toLeft,
} from '../../shared/order/leave-account.ts';
import { mayOrder, rememberFailure, toPausedMatter } from '../../shared/order/may-order.ts';
import type { Checkpoint, OrderTask } from '../../shared/order/order-state.ts';
import { LockLostError } from '../../shared/queue/sign-records.ts';
import { isIssuedFor } from '../../shared/storage/issued-for.ts';
import type { StoredCertificate } from '../../shared/storage/storage.ts';
import { flightOf, namesOf, patienceOf, type SignRun, toClaim } from './job.ts';

/** Milliseconds; a longer wait gives the worker's slot back and comes again as a delayed job. */
const LONGEST_WAIT_IN_SLOT = 2_000;
export const LONGEST_JOB = 3_600_000;
const RETRIES = {
  mostFailures: Number.POSITIVE_INFINITY,
  longestWait: Number.POSITIVE_INFINITY,
  longestOrder: LONGEST_JOB,
  mostNewOrders: 5,
};
const FLIGHT_RETRY = 1_000;
/** What a renewal waits for may be over sooner than was told, as when an operator clears a limit. */
const LONGEST_NAP = 600_000;
/** While there is another account to go to, a CA has this part of what is left of the client's patience for one answer. */
const PART_OF_PATIENCE = 1 / 6;
const SHORTEST_TIMEOUT = 3_000;
const LONGEST_TIMEOUT = 30_000;

/**
 * Orders from one account, from where the job's last run at it ended.
 *
 * @returns `instead`: the certificate of another job's order for the same names
 * @throws LeftError where the next account is to be tried; what ends the job; or the signals' reasons
 */
export async function orderAt(
  run: SignRun,
  ca: Ca,
  choice: AccountChoice,
): Promise<Driven<StoredCertificate>> {
  const { parts, job, log, progress, signals } = run;
  if (job.data.accounts.length > 1) await admit(ca, parts.clock.now());
  const account = currentAccount(ca, parts.clock.now());
  const acme = openAcmeClient(ca.connection, account, signals.abort, () => timeoutOf(run));
  const task = await toTask(run, ca, choice);
  return driveOrder<StoredCertificate>(
    {
      acme,
      solvers: job.data.solvers.flatMap(name => parts.solvers.get(name) ?? []),
      clock: parts.clock,
      paces: ca.paces,
      signal: signals.abort,
      stopping: signals.stopping,
      longestWait: LONGEST_WAIT_IN_SLOT,
      confirm: () => parts.records.confirmLock(job.lock),
      warn: fault => log.warn(fault),
      save: checkpoint => saveStep(run, ca, checkpoint),
      mayOrder: checkpoint => askLeave(run, ca, task, checkpoint),
      judge: (error, checkpoint) => judge(run, ca, account, error, checkpoint),
    },
    task,
    progress.orderAt(ca.name),
  );
}

/** A CA that answers slowly is left while the client still waits. */
function timeoutOf({ parts, job, progress }: SignRun): number {
  const others = job.data.accounts.length - progress.refusals.length > 1;
  if (!others || job.data.due !== undefined) return LONGEST_TIMEOUT;
  const part = Math.round((patienceOf(job) - parts.clock.now()) * PART_OF_PATIENCE);
  return Math.min(Math.max(part, SHORTEST_TIMEOUT), LONGEST_TIMEOUT);
}

async function toTask(run: SignRun, ca: Ca, choice: AccountChoice): Promise<OrderTask> {
  const { data } = run.job;
  return {
    identifiers: data.identifiers,
    csr: run.csr.der,
    certificateProfile: await profileAt(run, ca, choice),
    preferredChain: choice.preferredChain,
    replaces: replacedAt(run, ca),
  };
}

/** A profile that a block wants wherever it is offered is left away once no other CA of the block issues with it. */
async function profileAt(run: SignRun, ca: Ca, choice: AccountChoice): Promise<string | undefined> {
  const { certificateProfile: profile, profileIfOffered } = choice;
  if (profile === undefined || run.job.data.accounts.length === 1) return profile;
  const { profiles } = await readDirectoryAt(run, ca);
  if (profiles?.includes(profile)) return profile;
  if (profileIfOffered && run.progress.withoutProfile) return undefined;
  const detail = `the CA of account ${ca.name} does not offer the certificate profile ${profile}`;
  const withoutProfile = profileIfOffered && { withoutProfile: true as const };
  throw new LeftError({ account: ca.name, code: 'misconfigured', detail, ...withoutProfile });
}

async function readDirectoryAt(run: SignRun, ca: Ca): Promise<Directory> {
  try {
    return await ca.directory(run.signals.abort, timeoutOf(run));
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    await noteUnreachable(ca, error, run.log);
    throw toLeft(ca.name, error, run.parts.clock.now() + BREAKER_RETRY);
  }
}

/** Only the CA that issued a certificate knows it. Of one whose issuer is not recorded, the first choice is asked. */
function replacedAt({ job }: SignRun, ca: Ca): string | undefined {
  const { replaces, accounts } = job.data;
  if (!replaces) return undefined;
  const isIssuer = replaces.directory
    ? replaces.directory === ca.directoryUrl
    : accounts[0]?.account === ca.name;
  return isIssuer ? replaces.id : undefined;
}

async function saveStep(run: SignRun, ca: Ca, checkpoint: Checkpoint): Promise<void> {
  const { progress, job, log } = run;
  const { url } = checkpoint.order;
  const isNew = url !== undefined && url !== progress.orderAt(ca.name).order.url;
  if (isNew) log.info({ order: url, account: ca.name, names: namesOf(job) }, 'order made');
  await progress.saveOrder(ca.name, checkpoint);
  if (checkpoint.failures > 0 || url === undefined) return;
  if (await ca.breaker.answered()) log.info({ account: ca.name }, 'the CA answers again, breaker closed');
}

/**
 * What can save the CA a request: another job's order for the same names, after which the certificate may be there
 * already, and limits that are known to stand against it, or to be used up by those who go first.
 */
async function askLeave(
  run: SignRun,
  ca: Ca,
  task: OrderTask,
  checkpoint: Checkpoint,
): Promise<Leave<StoredCertificate>> {
  const { parts, job } = run;
  const now = parts.clock.now();
  const flight = flightOf(job.data, ca.name);
  if (!(await parts.records.enterFlight(job.lock.jobId, flight))) {
    return { do: 'wait', until: now + FLIGHT_RETRY };
  }
  const stored = await findStored(run);
  if (stored) return { do: 'use', instead: stored };
  task.replaces ??= await findReplaced(run, ca);
  const order = { renews: task.replaces !== undefined && !checkpoint.order.replaced, turn: checkpoint.turn };
  const claim = toClaim(job);
  const permission = await mayOrder(ca, task.identifiers, order, claim, run.signals.abort);
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

/** A post of a CSR whose stored certificate is about to expire renews it, and CAs like to know (RFC 9773 section 5). */
async function findReplaced({ parts, job, csr }: SignRun, ca: Ca): Promise<string | undefined> {
  if (job.data.replaces) return undefined;
  const upkeep = parts.storages.get(job.data.storage)?.upkeep;
  const kept = await upkeep?.read(upkeep.keyOf(csr));
  if (!kept || kept.leaf.notAfter <= parts.clock.now()) return undefined;
  const isIssuer = kept.issuedBy ? kept.issuedBy.directory === ca.directoryUrl : true;
  return isIssuer ? renewalInfoId(kept.chain) : undefined;
}

/** What becomes of an order whose step failed: it is tried again here, goes to the next account, or fails the job. */
async function judge(
  run: SignRun,
  ca: Ca,
  account: AcmeAccount,
  error: unknown,
  checkpoint: Checkpoint,
): Promise<Verdict> {
  const { parts, job, log } = run;
  if (error instanceof LockLostError || error instanceof LeftError) throw error;
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

const waitForLimit = (error: unknown) =>
  error instanceof IssuanceError && error.code === 'rateLimited' ? error.retryAfter : undefined;

async function onLimit({ parts, log }: SignRun, ca: Ca, limit: Limit): Promise<void> {
  const { key, until, detail } = limit;
  log.warn(
    { account: ca.name, limit: key, until: until && new Date(until), reason: detail },
    'CA rate limit hit',
  );
  const matter = toPausedMatter(limit);
  if (matter) await parts.notices.notify(matter);
}

/** @returns what the client is told where there is no account any more; else the given error, which a new order ends */
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
