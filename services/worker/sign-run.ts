import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import { type AcmeAccount, openAcmeClient } from '../../shared/acme/client.ts';
import type { Clock } from '../../shared/base/clock.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Outages } from '../../shared/base/redis.ts';
import type { Budget } from '../../shared/limits/budget.ts';
import type { Limits } from '../../shared/limits/limits.ts';
import { newOrderState, type OrderState, type OrderTask } from '../../shared/order/order-state.ts';
import type { OrderParts, OrderStep } from '../../shared/order/order-step.ts';
import type { PollPaces } from '../../shared/order/poll-pace.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import type { JobLock } from '../../shared/queue/bullmq.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { SignJobData, SignResult } from '../../shared/queue/sign-job-data.ts';
import type { Flights, SignRecords } from '../../shared/queue/sign-records.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import type { AccountHolder } from './account-holder.ts';

export type SignJobParts = {
  connection: CaConnection;
  account: AccountHolder;
  solvers: Map<string, Solver>;
  storages: Map<string, Storage>;
  renewals: StoredRenewals;
  records: SignRecords;
  flights: Flights;
  limits: Limits;
  budget: Budget;
  notices: Pick<Notices, 'notify'>;
  paces: PollPaces;
  outages: Outages;
  clock: Clock;
  log: Log;
};

export type SignJob = { lock: JobLock; data: SignJobData; createdAt: number };

/** `finished`: the result is written, `key` is where. `later`: to be run again at `until`, in milliseconds since the epoch. */
export type SignJobEnd =
  | { end: 'finished'; key: string; result: SignResult }
  | { end: 'later'; until: number };

/** What is saved after every step. */
type Checkpoint = {
  order: OrderState;
  failures: number;
  lostOrders: number;
  /** When it first was its turn to order; milliseconds since the epoch. */
  begun?: number | undefined;
  /** Whether the next new order, or the one that is made, counts for the CA's limits; absent until that is known. */
  turn?: 'counted' | 'exempt' | undefined;
};

/** One run of a job in this process, from its last checkpoint on. */
export type Run = {
  parts: SignJobParts;
  job: SignJob;
  log: Log;
  csr: CsrText;
  /** What it orders with; that of the worker may be a newer one by now. */
  account: AcmeAccount;
  order: OrderParts;
  task: OrderTask;
  checkpoint: Checkpoint;
  /** The result that a predecessor wrote, who did not live to tell BullMQ. */
  resultWritten: { key: string; result: SignResult } | undefined;
  seen: Extract<OrderStep, { next: 'continue' }>['seen'];
  /** Whether this run has taken the order a step further. */
  moved: boolean;
};

/** A result to be kept and told; `fresh`: it has just been issued. */
export type Reached = { result: SignResult; fresh?: true };
export type Later = Extract<SignJobEnd, { end: 'later' }>;

/** Takes a job up where its last checkpoint left it. */
export async function openRun(parts: SignJobParts, job: SignJob, signal: AbortSignal): Promise<Run> {
  const { data, lock } = job;
  const csr = readCsr(Buffer.from(data.csr));
  const account = parts.account.current();
  const acme = openAcmeClient(parts.connection, account, signal);
  const solvers = data.solvers.flatMap(name => parts.solvers.get(name) ?? []);
  const { checkpoint, resultWritten } = await parts.records.readJob(lock.jobId);
  const { identifiers, certificateProfile, preferredChain, replaces } = data;
  const log = parts.log.child({ job: lock.jobId, request: data.requestId });
  const warn = (fault: string) => log.warn(fault);
  const confirm = () => parts.records.confirmLock(lock);
  return {
    ...{ parts, job, log, csr, account },
    order: { acme, solvers, clock: parts.clock, paces: parts.paces, signal, confirm, warn },
    task: { identifiers, csr: csr.der, certificateProfile, preferredChain, replaces },
    checkpoint: (checkpoint as Checkpoint | undefined) ?? {
      order: newOrderState(),
      failures: 0,
      lostOrders: 0,
    },
    ...{ resultWritten, seen: undefined, moved: false },
  };
}

/** @throws LockLostError when another worker has the job now */
export async function saveStep(run: Run, step: Exclude<OrderStep, { next: 'issued' }>): Promise<void> {
  const { checkpoint, job, log, parts } = run;
  if (step.state.url !== checkpoint.order.url)
    log.info({ order: step.state.url, names: names(job) }, 'order made');
  run.checkpoint = { ...checkpoint, order: step.state, failures: 0 };
  if (step.state.url === undefined) run.checkpoint.turn = undefined;
  run.moved = true;
  run.seen = step.next === 'continue' ? step.seen : undefined;
  await parts.records.writeCheckpoint(job.lock, run.checkpoint);
}

export const names = ({ data }: SignJob) => data.identifiers.map(({ value }) => value);

/** @throws LockLostError when another worker has the job now */
export const confirmLock = ({ parts, job }: Run) => parts.records.confirmLock(job.lock);
