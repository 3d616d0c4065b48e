import { type AcmeAccount, openAcmeClient } from '../../shared/acme/client.ts';
import type { CaConnection } from '../../shared/acme/transport.ts';
import type { Clock } from '../../shared/base/clock.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import { advanceOrder, type OrderParts, type OrderStep, withdrawChallenges } from '../../shared/order/advance-order.ts';
import { newOrderState, type OrderState } from '../../shared/order/order-state.ts';
import { certifiesKey, readCertificate } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { joinChain, splitChain } from '../../shared/pki/pem.ts';
import { type SignJobData, type SignResult, toSignFailure } from '../../shared/queue/sign-job-data.ts';
import { type JobLock, LockLostError, type SignRecords } from '../../shared/queue/sign-records.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import { jobOutcome } from './job-outcome.ts';

/** A longer wait gives the worker's slot back and comes again as a delayed job. */
const LONGEST_WAIT_IN_SLOT = 2_000;

export type SignJobParts = {
  connection: CaConnection;
  account: AcmeAccount;
  solvers: Map<string, Solver>;
  storages: Map<string, Storage>;
  records: SignRecords;
  clock: Clock;
  log: Log;
};

export type SignJob = { lock: JobLock; data: SignJobData; createdAt: number };

/** `finished`: the result is written, `key` is where. `later`: to be run again at `until`, in milliseconds since the epoch. */
export type SignJobEnd = { end: 'finished'; key: string; result: SignResult } | { end: 'later'; until: number };

/** What is saved after every step. */
type Checkpoint = { order: OrderState; failures: number; lostOrders: number };

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
  const { records, clock } = parts;
  const log = parts.log.child({ job: job.lock.jobId, request: job.data.requestId });
  const orderParts = openOrderParts(parts, job, signals.abort);
  const task = { identifiers: job.data.identifiers, csr: readCsr(Buffer.from(job.data.csr)).der };
  let checkpoint = ((await records.readCheckpoint(job.lock.jobId)) as Checkpoint | undefined) ?? {
    order: newOrderState(),
    failures: 0,
    lostOrders: 0,
  };
  let seen: Extract<OrderStep, { next: 'continue' }>['seen'];

  for (;;) {
    signals.stopping.throwIfAborted();
    let step: OrderStep;
    try {
      step = await advanceOrder(orderParts, task, checkpoint.order, seen);
      if (step.next === 'issued') return await finish(parts, job, toResult(job, step.chain), log);
    } catch (error) {
      signals.abort.throwIfAborted();
      if (error instanceof LockLostError) throw error;
      const outcome = jobOutcome(error, { createdAt: job.createdAt, ...checkpoint }, clock.now());
      if (outcome.do === 'fail') {
        await giveUp(orderParts, checkpoint.order, log);
        return await finish(parts, job, toFailure(job, error, log), log);
      }
      log.warn(
        { reason: describeError(error), order: checkpoint.order.url, again: new Date(outcome.at) },
        'step failed',
      );
      checkpoint = afterFailure(checkpoint, outcome.withNewOrder);
      await records.writeCheckpoint(job.lock, checkpoint);
      return { end: 'later', until: outcome.at };
    }
    if (step.state.url !== checkpoint.order.url) log.info({ order: step.state.url, names: names(job) }, 'order made');
    checkpoint = { ...checkpoint, order: step.state, failures: 0 };
    await records.writeCheckpoint(job.lock, checkpoint);
    seen = step.next === 'continue' ? step.seen : undefined;
    if (step.next !== 'wait') continue;
    if (step.until - clock.now() > LONGEST_WAIT_IN_SLOT) return { end: 'later', until: step.until };
    await clock.sleep(step.until - clock.now(), AbortSignal.any([signals.stopping, signals.abort]));
  }
}

const names = ({ data }: SignJob) => data.identifiers.map(({ value }) => value);

function openOrderParts(parts: SignJobParts, { data }: SignJob, signal: AbortSignal): OrderParts {
  const acme = openAcmeClient(parts.connection, parts.account, signal);
  const solver = data.solver === undefined ? undefined : parts.solvers.get(data.solver);
  return { acme, solver, clock: parts.clock, signal };
}

/** The chain as clients get it, after a look at whether the CA certified the key that was asked for. */
function toResult({ data }: SignJob, downloaded: string): SignResult {
  const pems = splitChain(downloaded);
  const leaf = pems[0] && readCertificate(pems[0]);
  if (!leaf || !certifiesKey(leaf, readCsr(Buffer.from(data.csr)).der)) {
    throw new IssuanceError('unexpected', "the CA sent a certificate that is not for the CSR's key");
  }
  return { outcome: 'issued', block: data.block, chain: joinChain(pems) };
}

function toFailure({ data }: SignJob, error: unknown, log: Log): SignResult {
  if (!(error instanceof IssuanceError)) log.error({ err: error }, 'bug in a sign job');
  return { outcome: 'failed', block: data.block, error: toSignFailure(error) };
}

/** The storage comes first: a job is not finished before its certificate is safe. */
async function finish(parts: SignJobParts, job: SignJob, result: SignResult, log: Log): Promise<SignJobEnd> {
  const outcome = { names: names(job), seconds: (parts.clock.now() - job.createdAt) / 1000 };
  if (result.outcome === 'issued') {
    await store(parts, job, result.chain, log);
    log.info(outcome, 'certificate issued');
  } else {
    log.warn({ ...outcome, code: result.error.code, reason: result.error.detail }, 'no certificate');
  }
  return { end: 'finished', key: await parts.records.writeResult(job.lock, result), result };
}

/** A full disk must not keep a certificate from the client that waits for it. */
async function store({ storages }: SignJobParts, { data }: SignJob, chain: string, log: Log): Promise<void> {
  try {
    await storages.get(data.storage)?.put(readCsr(Buffer.from(data.csr)), chain);
  } catch (error) {
    log.error({ storage: data.storage, reason: describeError(error) }, 'the certificate cannot be stored');
  }
}

async function giveUp(parts: OrderParts, state: OrderState, log: Log): Promise<void> {
  try {
    await withdrawChallenges(parts, state);
  } catch (error) {
    log.warn({ reason: describeError(error), order: state.url }, 'challenge responses remain until they expire');
  }
}

function afterFailure(checkpoint: Checkpoint, withNewOrder: boolean): Checkpoint {
  const failures = checkpoint.failures + 1;
  if (!withNewOrder) return { ...checkpoint, failures };
  return { order: newOrderState(), failures, lostOrders: checkpoint.lostOrders + 1 };
}
