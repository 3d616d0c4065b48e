import { type AcmeAccount, openAcmeClient } from '../../shared/acme/client.ts';
import type { AccountChoice } from '../../shared/admission/account-choice.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { mayOrder } from '../../shared/limits/budget.ts';
import { driveOrder } from '../../shared/order/drive-order.ts';
import type { Driven, Leave } from '../../shared/order/drive-parts.ts';
import { admit, toLeft } from '../../shared/order/leave-account.ts';
import type { Checkpoint, OrderTask, WaitsFor } from '../../shared/order/order-state.ts';
import { type AcceptedChain, acceptChain } from '../../shared/pki/certificate.ts';
import { csrKeyDigest } from '../../shared/pki/public-key.ts';
import type { Flight } from '../../shared/queue/sign-records.ts';
import type { StoredCertificate } from '../../shared/storage/storage.ts';
import { flightOf, namesOf, ordererOf, patienceOf, type SignRun, toClaim, toEvent } from './job.ts';
import { accountSubject, BREAKER_CLOSED, judge } from './judge.ts';
import { mayGoOn } from './keep-order.ts';
import { findOfferedProfile } from './offered-profile.ts';
import { mayHaveToo } from './other-names.ts';
import { findReplaced, findStored } from './stored.ts';

/** Milliseconds; a longer wait gives the worker's slot back and comes again as a delayed job. */
const LONGEST_WAIT_IN_SLOT = 2_000;
/**
 * While there is another account to try, a CA has this part of the client's remaining patience for one
 * answer.
 */
const PART_OF_PATIENCE = 1 / 6;
const SHORTEST_TIMEOUT = 3_000;
const LONGEST_TIMEOUT = 30_000;

const FLIGHT_RETRY = 1_000;
/** A renewal's wait may be over sooner than expected, as when an operator clears a limit. */
const LONGEST_NAP = 600_000;

/** When an account that is not open yet is looked at again. Milliseconds. */
const ACCOUNT_RETRY = 5_000;

/** How a drive ended; where a certificate was issued, with what it was read as. */
export type Ordered =
  | Exclude<Driven<StoredCertificate>, { end: 'issued' }>
  | { end: 'issued'; accepted: AcceptedChain; checkpoint: Checkpoint };

/**
 * Orders from one account, from where the job's last run at it ended.
 *
 * @returns `instead`: the certificate of another job's order for the same names
 * @throws LeftError where the next account is to be tried; what ends the job; or the signals' reasons
 */
export async function orderAt(run: SignRun, ca: Ca, choice: AccountChoice): Promise<Ordered> {
  const { parts, job, log, progress, signals } = run;
  if (job.data.accounts.length > 1) await admit(ca, parts.clock.now());
  const account = currentAccount(ca, parts.clock.now());
  const acme = openAcmeClient(ca.connection, account, signals.abort, () => timeoutOf(run));
  let accepted: AcceptedChain | undefined;
  let isConfirmed = false;
  const task = await toTask(run, ca, choice, chain => {
    accepted = chain;
  });
  const driven = await driveOrder<StoredCertificate>(
    {
      acme,
      solvers: job.data.solvers.flatMap(name => parts.solvers.get(name) ?? []),
      clock: parts.clock,
      paces: ca.paces,
      signal: signals.abort,
      stopping: signals.stopping,
      looksEnd: signals.stopping,
      longestWait: LONGEST_WAIT_IN_SLOT,
      async confirm() {
        await confirm(run, ca);
        isConfirmed = true;
      },
      warn: fault => log.warn(fault),
      save: checkpoint => saveStep(run, ca, checkpoint),
      mayOrder: checkpoint => askLeave(run, ca, task, checkpoint),
      judge: (error, checkpoint) => judge(run, ca, account, error, checkpoint),
    },
    task,
    progress.orderAt(ca.name),
  );
  if (driven.end !== 'issued') return driven;
  if (!accepted) throw new Error('a chain was handed out that nobody had accepted');
  if (!isConfirmed) await confirm(run, ca); // finalized by an earlier run, or by an earlier job
  return { end: 'issued', accepted, checkpoint: driven.checkpoint };
}

/** A key that was blocked since the order was made gets no certificate. */
async function confirm(run: SignRun, ca: Ca): Promise<void> {
  const { parts, job, progress } = run;
  const key = ca.limits.blockedKey(publicKeyOf(run));
  const heard = parts.records.heardKey(job.lock.jobId);
  const [blocked = null, isHeard = null] = await parts.records.confirmLock(job.lock, [key, heard]);
  const refusal = ca.limits.findStanding([key], [blocked]);
  if (refusal) throw refusal;
  const { url } = progress.orderAt(ca.name).order;
  if (isHeard !== null && url !== undefined) parts.records.tellFinalizing(job.lock, url).catch(() => {});
}

const publicKeyOf = ({ job, csr }: SignRun) => job.data.publicKey ?? csrKeyDigest(csr.der);

/** The next account is tried while the client still waits, even if this CA answers slowly. */
function timeoutOf({ parts, job, progress }: SignRun): number {
  const others = job.data.accounts.length - progress.refusals.length > 1;
  if (!others || job.data.due !== undefined) return LONGEST_TIMEOUT;
  const part = Math.round((patienceOf(job) - parts.clock.now()) * PART_OF_PATIENCE);
  return Math.min(Math.max(part, SHORTEST_TIMEOUT), LONGEST_TIMEOUT);
}

/**
 * Looks for what can save the CA a request: another job's order for the same names, after which the
 * certificate may be there already, and limits that are known to stand, or that jobs before this one use up.
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
  const limitKeys = ca.limits.keysAgainst(task.identifiers, ordererOf(run), run.csr.digest, publicKeyOf(run));
  const { block, due } = job.data;
  const storage = parts.storages.get(job.data.storage);
  const keptKeys = storage ? [parts.unstored.keyOf(storage.name, run.csr.digest)] : [];
  const keys = [ca.limits.slowKey(block), ...keptKeys, ...limitKeys];
  const found = await parts.records.enterFlight(job.lock, flight, keys);
  if (!found) return { do: 'wait', until: now + FLIGHT_RETRY, why: { for: 'names' } };
  const [slow, sealed] = found;
  const limits = found.slice(1 + keptKeys.length);
  const { stored, readAgain } = storage ? await findStored(run, storage, sealed) : {};
  if (stored) return { do: 'use', instead: stored };
  if (readAgain !== undefined) return waitOutside(run, flight, readAgain, { for: 'storage' });
  const standing = ca.limits.findStanding(limitKeys, limits);
  // A limit on new orders is none on one that is made.
  const mayResume = checkpoint.lostOrders === 0 && (!standing || standing.code === 'rateLimited');
  const kept = mayResume ? ca.limits.findKept(limitKeys, limits) : undefined;
  if (kept && mayGoOn(run, kept, flight)) return { do: 'resume', ...kept };
  if (storage && !job.data.replaces) task.replaces ??= await findReplaced(run, storage, ca);
  const order = { renews: task.replaces !== undefined && !checkpoint.order.replaced, turn: checkpoint.turn };
  // What was issued before has been proven before.
  const isSlow = slow && due === undefined && task.replaces === undefined;
  const failures = isSlow ? await ca.limits.failedOrders(ordererOf(run)) : 0;
  const claim = toClaim(run, ca.name, isSlow ? { block, failures } : undefined);
  const permission = await mayOrder(ca, standing, task.identifiers, order, claim, run.signals.abort);
  if (permission.may) return { do: 'order', turn: permission.turn };
  const { limit, waits } = permission;
  const until = limit.retryAfter;
  if (until === undefined || !(waits || isWorthWaiting(run, until))) throw limit;
  return waitOutside(run, flight, Math.min(until, now + LONGEST_NAP), { for: 'limit', until });
}

/** Others may order the same names meanwhile. */
async function waitOutside({ parts, job }: SignRun, flight: Flight, until: number, why: WaitsFor) {
  await parts.records.leaveFlight(job.lock, flight);
  return { do: 'wait' as const, until, why };
}

/** A limit that ends in time is waited for by a renewal, and by a post that would else go to another CA. */
function isWorthWaiting({ job }: SignRun, until: number): boolean {
  const { due, accounts } = job.data;
  return due === undefined ? accounts.length > 1 && until <= patienceOf(job) : until <= due;
}

async function toTask(
  run: SignRun,
  ca: Ca,
  choice: AccountChoice,
  onAccepted: (chain: AcceptedChain) => void,
): Promise<OrderTask> {
  const { parts, job, csr } = run;
  const { identifiers, accounts } = job.data;
  const { certificateProfile: profile } = choice;
  const isFixed = profile === undefined || accounts.length === 1;
  const wanted = { identifiers, csr: csr.der, mayHold: (other: Identifier) => mayHaveToo(run, other) };
  return {
    identifiers,
    csr: csr.der,
    accept: sent => onAccepted(acceptChain(sent, wanted, parts.clock.now())),
    certificateProfile: isFixed ? profile : await findOfferedProfile(run, ca, choice, timeoutOf(run)),
    preferredChain: choice.preferredChain,
    replaces: replacedAt(run, ca),
  };
}

/**
 * Only the CA that issued a certificate knows it. Of one whose issuer is not recorded, the first choice is
 * asked.
 */
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
  const { order } = checkpoint;
  const { url } = order;
  const isNew = url !== undefined && url !== progress.orderAt(ca.name).order.url;
  if (isNew)
    log.info(
      { order: url, account: ca.name, names: namesOf(job) },
      order.kept ? 'order taken up again' : 'order made',
    );
  const made = isNew && !order.kept ? toEvent(run, 'ordered', ca.name, { detail: url }) : undefined;
  await progress.saveOrder(ca.name, checkpoint, made);
  if (checkpoint.failures > 0 || url === undefined) return;
  await noteSuccess(run, ca);
}

/** After a step that succeeded, CA and account are well. */
async function noteSuccess({ parts, log }: SignRun, { name, account, breaker }: Ca): Promise<void> {
  if (breaker.suspected && (await breaker.answered())) log.info({ account: name }, BREAKER_CLOSED);
  if (account.fault === undefined) return;
  account.note(undefined);
  await parts.notices.ended(accountSubject(name), ['account-paused']);
}

/** @throws LeftError where the account is not open yet, or not of use as it is configured */
function currentAccount({ name, account }: Pick<Ca, 'name' | 'account'>, now: number): AcmeAccount {
  const { current, fault } = account;
  if (current) return current;
  throw fault instanceof IssuanceError ? toLeft(name, fault, now + ACCOUNT_RETRY) : fault;
}
