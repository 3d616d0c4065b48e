import { type AcmeAccount, openAcmeClient } from '../../shared/acme/client.ts';
import { problemKind } from '../../shared/acme/problem.ts';
import type { CaConnection } from '../../shared/acme/transport.ts';
import type { Clock } from '../../shared/base/clock.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Budget, Shortage } from '../../shared/limits/budget.ts';
import { type Limits, StandingLimitError } from '../../shared/limits/limits.ts';
import { advanceOrder, type OrderParts, type OrderStep, withdrawChallenges } from '../../shared/order/advance-order.ts';
import { newOrderState, type OrderState, type OrderTask } from '../../shared/order/order-state.ts';
import type { PollPaces } from '../../shared/order/poll-pace.ts';
import { type Certificate, certifiesKey, readCertificate } from '../../shared/pki/certificate.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import { joinChain, splitChain } from '../../shared/pki/pem.ts';
import type { Flights } from '../../shared/queue/flights.ts';
import { type SignJobData, type SignResult, toSignFailure } from '../../shared/queue/sign-job-data.ts';
import { type JobLock, LockLostError, type SignRecords } from '../../shared/queue/sign-records.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import type { AccountHolder } from './account-holder.ts';
import { jobOutcome } from './job-outcome.ts';
import { rememberLimits } from './remember-limits.ts';

/** A longer wait gives the worker's slot back and comes again as a delayed job. */
const LONGEST_WAIT_IN_SLOT = 2_000;
const FLIGHT_RETRY = 1_000;

export type SignJobParts = {
  connection: CaConnection;
  account: AccountHolder;
  solvers: Map<string, Solver>;
  storages: Map<string, Storage>;
  records: SignRecords;
  flights: Flights;
  limits: Limits;
  budget: Budget;
  paces: PollPaces;
  clock: Clock;
  log: Log;
};

export type SignJob = { lock: JobLock; data: SignJobData; createdAt: number };

/** `finished`: the result is written, `key` is where. `later`: to be run again at `until`, in milliseconds since the epoch. */
export type SignJobEnd = { end: 'finished'; key: string; result: SignResult } | { end: 'later'; until: number };

/** What is saved after every step. */
type Checkpoint = { order: OrderState; failures: number; lostOrders: number };

/** One run of a job in this process, from its last checkpoint on. */
type Run = {
  parts: SignJobParts;
  job: SignJob;
  log: Log;
  csr: CsrText;
  /** What it orders with; that of the worker may be a newer one by now. */
  account: AcmeAccount;
  order: OrderParts;
  task: OrderTask;
  checkpoint: Checkpoint;
  seen: Extract<OrderStep, { next: 'continue' }>['seen'];
};

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
  const { parts } = run;
  const eitherSignal = AbortSignal.any([signals.stopping, signals.abort]);
  for (;;) {
    signals.stopping.throwIfAborted();
    try {
      const held = run.checkpoint.order.url === undefined ? await beforeNewOrder(run) : undefined;
      if (held) return held;
      const step = await advanceOrder(run.order, run.task, run.checkpoint.order, run.seen);
      if (step.next === 'issued') return await issue(run, step.chain);
      await saveStep(run, step);
      if (step.next !== 'wait') continue;
      const wait = step.until - parts.clock.now();
      if (wait > LONGEST_WAIT_IN_SLOT) return { end: 'later', until: step.until };
      await parts.clock.sleep(wait, eitherSignal);
    } catch (error) {
      eitherSignal.throwIfAborted();
      if (error instanceof LockLostError) throw error;
      return await afterFailure(run, error);
    }
  }
}

async function openRun(parts: SignJobParts, job: SignJob, signal: AbortSignal): Promise<Run> {
  const { data, lock } = job;
  const csr = readCsr(Buffer.from(data.csr));
  const account = parts.account.current();
  const acme = openAcmeClient(parts.connection, account, signal);
  const solver = data.solver === undefined ? undefined : parts.solvers.get(data.solver);
  const saved = (await parts.records.readCheckpoint(lock.jobId)) as Checkpoint | undefined;
  const { identifiers, certificateProfile, preferredChain } = data;
  const log = parts.log.child({ job: lock.jobId, request: data.requestId });
  const warn = (fault: string) => log.warn(fault);
  const confirm = () => parts.records.confirmLock(lock);
  return {
    ...{ parts, job, log, csr, account },
    order: { acme, solver, clock: parts.clock, paces: parts.paces, signal, confirm, warn },
    task: { identifiers, csr: csr.der, certificateProfile, preferredChain },
    checkpoint: saved ?? { order: newOrderState(), failures: 0, lostOrders: 0 },
    seen: undefined,
  };
}

/**
 * What can save the CA a request: another job's order for the same names, after which the certificate may be there
 * already, and limits that are known to stand against it.
 */
async function beforeNewOrder({ parts, job, csr, ...run }: Run): Promise<SignJobEnd | undefined> {
  const { data, lock } = job;
  if (!(await parts.flights.enter(lock.jobId, data))) {
    return { end: 'later', until: parts.clock.now() + FLIGHT_RETRY };
  }
  const stored = await parts.storages.get(data.storage)?.get(csr);
  if (stored) return finish({ parts, job, csr, ...run }, { outcome: 'issued', block: data.block, chain: stored.chain });
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

async function saveStep(run: Run, step: Exclude<OrderStep, { next: 'issued' }>): Promise<void> {
  const { checkpoint, job, log, parts } = run;
  if (step.state.url !== checkpoint.order.url) log.info({ order: step.state.url, names: names(job) }, 'order made');
  run.checkpoint = { ...checkpoint, order: step.state, failures: 0 };
  run.seen = step.next === 'continue' ? step.seen : undefined;
  await parts.records.writeCheckpoint(job.lock, run.checkpoint);
}

const names = ({ data }: SignJob) => data.identifiers.map(({ value }) => value);

/** The chain as clients get it, after a look at whether the CA certified the key that was asked for. */
function toResult({ job, csr }: Run, downloaded: string): SignResult {
  const { pems, leaf } = readDownload(downloaded);
  if (!certifiesKey(leaf, csr.der)) {
    throw new IssuanceError('unexpected', "the CA sent a certificate that is not for the CSR's key");
  }
  return { outcome: 'issued', block: job.data.block, chain: joinChain(pems) };
}

function readDownload(downloaded: string): { pems: string[]; leaf: Certificate } {
  try {
    const pems = splitChain(downloaded);
    return { pems, leaf: readCertificate(pems[0] ?? '') };
  } catch (error) {
    throw new IssuanceError('unexpected', 'the CA sent a damaged certificate chain', { cause: error });
  }
}

async function issue(run: Run, downloaded: string): Promise<SignJobEnd> {
  const result = toResult(run, downloaded);
  await confirmLock(run); // else the certificate is its successor's to count and to store
  await run.parts.budget.spendCertificate(run.job.data);
  return finish(run, result);
}

async function afterFailure(run: Run, error: unknown): Promise<SignJobEnd> {
  const { parts, job, log, checkpoint } = run;
  await confirmLock(run); // else it would withdraw what its successor presents
  const told = await rememberLimits(parts, job.data, error);
  const outcome = jobOutcome(told, { createdAt: job.createdAt, ...checkpoint }, parts.clock.now());
  if (outcome.do === 'fail') {
    await giveUp(run);
    if (!(told instanceof IssuanceError)) log.error({ err: told }, 'bug in a sign job');
    return finish(run, { outcome: 'failed', block: job.data.block, error: toSignFailure(told) });
  }
  log.warn({ reason: describeError(told), order: checkpoint.order.url, again: new Date(outcome.at) }, 'step failed');
  if (told instanceof IssuanceError && problemKind(told.problem) === 'accountDoesNotExist') await renewAccount(run);
  const failures = checkpoint.failures + 1;
  if (outcome.withNewOrder) await giveUp(run); // the new order has challenges of its own
  run.checkpoint = outcome.withNewOrder
    ? { order: newOrderState(), failures, lostOrders: checkpoint.lostOrders + 1 }
    : { ...checkpoint, failures };
  await parts.records.writeCheckpoint(job.lock, run.checkpoint);
  return { end: 'later', until: outcome.at };
}

const confirmLock = ({ parts, job }: Run) => parts.records.confirmLock(job.lock);

async function renewAccount({ parts, account, order, log }: Run): Promise<void> {
  try {
    await parts.account.renew(account, order.signal);
  } catch (error) {
    log.warn({ reason: describeError(error) }, 'the account is gone and cannot be made anew yet');
  }
}

/** The storage comes first: a job is not finished before its certificate is safe. */
async function finish(run: Run, result: SignResult): Promise<SignJobEnd> {
  const { parts, job, log } = run;
  const outcome = { names: names(job), seconds: (parts.clock.now() - job.createdAt) / 1000 };
  if (result.outcome === 'issued') {
    await store(run, result.chain);
    await parts.limits.recordSuccess(job.data);
    log.info(outcome, 'certificate issued');
  } else {
    log.warn({ ...outcome, code: result.error.code, reason: result.error.detail }, 'no certificate');
  }
  const key = await parts.records.writeResult(job.lock, result);
  await parts.flights.leave(job.lock.jobId, job.data);
  return { end: 'finished', key, result };
}

/** A full disk must not keep a certificate from the client that waits for it. */
async function store({ parts, job, csr, log }: Run, chain: string): Promise<void> {
  try {
    await parts.storages.get(job.data.storage)?.put(csr, chain);
  } catch (error) {
    log.error({ storage: job.data.storage, reason: describeError(error) }, 'the certificate cannot be stored');
  }
}

async function giveUp({ order, checkpoint, log }: Run): Promise<void> {
  try {
    await withdrawChallenges(order, checkpoint.order);
  } catch (error) {
    log.warn(
      { reason: describeError(error), order: checkpoint.order.url },
      'challenge responses remain until they expire',
    );
  }
}
