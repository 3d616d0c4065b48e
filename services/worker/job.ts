import type { Kept } from '../../shared/acme-server/orders.ts';
import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Claim } from '../../shared/limits/budget.ts';
import { type Orderer, proofOf } from '../../shared/limits/limits.ts';
import type { Refusal } from '../../shared/order/fail-over.ts';
import { newCheckpoint } from '../../shared/order/next-step.ts';
import type { Checkpoint } from '../../shared/order/order-state.ts';
import { type Certificate, describeLeaf } from '../../shared/pki/certificate.ts';
import type { CsrText } from '../../shared/pki/csr.ts';
import type { JobLock } from '../../shared/queue/bullmq.ts';
import type { SavedProgress } from '../../shared/queue/saved-progress.ts';
import {
  deduplicationId,
  type Flight,
  type SignJobData,
  type SignRecords,
  type SignResult,
  type Told,
} from '../../shared/queue/sign-records.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { recordsWithOrder } from './client-order.ts';
import { keepUnstored } from './keep-unstored.ts';
import type { Got, Issued, Signals, SignJob, SignJobEnd, SignJobParts, Written } from './sign-job-parts.ts';
import { tokenOf } from './spent-token.ts';

export type { Issued, Signals, SignJob, SignJobEnd, SignJobParts } from './sign-job-parts.ts';

/** One run of a job in this process. */
export type SignRun = {
  parts: SignJobParts;
  job: SignJob;
  csr: CsrText;
  log: Log;
  progress: JobProgress;
  signals: Signals;
  clientOrder?: Kept;
};

/**
 * How far a job is, the same in Redis and here. What it saves rejects with LockLostError when another worker
 * has the job.
 */
export class JobProgress {
  readonly settled = new Set<string>(); // the accounts whose budgets hold nothing for the job any more
  readonly #records: Pick<SignRecords, 'writeCheckpoint'>;
  readonly #lock: JobLock;
  #saved: SavedProgress;

  /** @param saved what the records hold of the job */
  constructor(
    records: Pick<SignRecords, 'writeCheckpoint'>,
    lock: JobLock,
    saved: SavedProgress | undefined,
  ) {
    this.#records = records;
    this.#lock = lock;
    this.#saved = saved ?? { orders: {}, refusals: [] };
  }

  get refusals(): readonly Refusal[] {
    return this.#saved.refusals;
  }

  get withoutProfile(): boolean {
    return this.#saved.withoutProfile === true;
  }

  /** When the job's first order was begun, in milliseconds since the epoch. */
  get begun(): number | undefined {
    const times = Object.values(this.#saved.orders).flatMap(({ begun }) => begun ?? []);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  orderAt(account: string): Checkpoint {
    return this.#saved.orders[account] ?? newCheckpoint();
  }

  /** @param told an event that is to be in the trail once it is saved */
  saveOrder(account: string, checkpoint: Checkpoint, told?: TrailEvent): Promise<void> {
    return this.#save({ ...this.#saved, orders: { ...this.#saved.orders, [account]: checkpoint } }, told);
  }

  saveRefusal(refusal: Refusal): Promise<void> {
    return this.#save({ ...this.#saved, refusals: [...this.#saved.refusals, refusal] });
  }

  /** Begins another round. @param refusals those that still hold */
  saveRound(refusals: Refusal[], withoutProfile: boolean): Promise<void> {
    return this.#save({ ...this.#saved, refusals, ...(withoutProfile && { withoutProfile }) });
  }

  async #save(next: SavedProgress, told?: TrailEvent): Promise<void> {
    this.#saved = next;
    await this.#records.writeCheckpoint(this.#lock, next, told);
  }
}

/** Names the orders of which one is made at a time. */
export function flightOf(data: SignJobData, account: string): Flight {
  const choice = data.accounts.find(one => one.account === account);
  return { account, identifiers: data.identifiers, certificateProfile: choice?.certificateProfile };
}

/** Whose order it is for the limits, and how its names are proven. */
export function ordererOf({ job: { data }, parts }: Pick<SignRun, 'job' | 'parts'>): Orderer {
  const { block, client, solvers, identifiers } = data;
  const known = solvers.flatMap(name => parts.solvers.get(name) ?? []);
  return { block, client, proof: proofOf(identifiers, known) };
}

export const namesOf = ({ data }: SignJob) => data.identifiers.map(({ value }) => value);

/** A renewal may come so long after it was asked for, even when its certificate has expired. Milliseconds. */
const LATE_RENEWAL_PATIENCE = 3_600_000;

/** When an order's wait ends, in milliseconds since the epoch: a renewal's with what it renews. */
export function patienceOf({ data, createdAt }: SignJob): number {
  return data.due === undefined
    ? createdAt + (data.patience ?? 0)
    : Math.max(data.due, createdAt + LATE_RENEWAL_PATIENCE);
}

/** By what a budget knows the job. */
function toHolder({ job: { data, lock }, parts }: Pick<SignRun, 'job' | 'parts'>, account: string) {
  const { block, identifiers } = data;
  return { id: lock.jobId, share: parts.shareOf?.({ block, account, identifiers }) };
}

/**
 * Interactive posts go in the order in which they came, before renewals that have time, and those by the end
 * of what they renew, which puts one whose certificate has expired before all posts.
 */
export const rankOf = ({ data, createdAt }: Pick<SignJob, 'data' | 'createdAt'>) => data.due ?? createdAt;

/** @param slow where the job comes under what slows its auth block down */
export function toClaim(run: Pick<SignRun, 'job' | 'parts'>, account: string, slow?: Claim['slow']): Claim {
  return {
    ...toHolder(run, account),
    slow,
    what: deduplicationId(run.job.data),
    rank: rankOf(run.job),
    patience: patienceOf(run.job),
  };
}

/** Into storage before the result. What fails here is logged, no more. */
export async function keepCertificate(
  run: SignRun,
  ca: Ca,
  { turn }: Checkpoint,
  issued: Issued & { leaf: Certificate },
): Promise<void> {
  const { parts, job, csr, log } = run;
  const { identifiers, storage: name } = job.data;
  const { chain, issuedBy, leaf } = issued;
  const storage = parts.storages.get(name);
  const isCounted = turn === 'counted' && ca.budget.countsCertificates;
  if (!storage && !isCounted) return;
  await parts.records.confirmLock(job.lock); // else the certificate is its successor's to store and to count
  const saying = (failure: string) => (error: unknown) =>
    log.error({ storage: name, reason: describeError(error) }, failure);
  if (storage && issuedBy)
    await storage
      .put(csr, chain, issuedBy, leaf)
      .catch(error => keepUnstored(run, name, { chain, issuedBy, leaf }, error));
  await Promise.all([
    planRenewal(run, issued).catch(saying('the renewal cannot be planned; the scheduler will find it')),
    isCounted &&
      ca.budget
        .spendCertificate(identifiers, toHolder(run, ca.name))
        .then(() => run.progress.settled.add(ca.name))
        .catch(saying('the certificate cannot be counted')),
  ]);
}

async function planRenewal(
  { parts, job, csr }: SignRun,
  { chain, leaf, issuedBy, refused }: Issued & { leaf: Certificate },
): Promise<void> {
  const { storage, block, due } = job.data;
  if (!parts.storages.get(storage)?.upkeep) return;
  const entry = { csr, chain, leaf, ...(issuedBy && { issuedBy }) };
  const how = { block, ahead: due !== undefined, ...(refused && { refused }) };
  await parts.renewals.issued(storage, entry, how, parts.clock.now());
}

/** An event about a job. @param account that it happened at */
export function toEvent(
  { parts, job }: Pick<SignRun, 'parts' | 'job'>,
  event: TrailEvent['event'],
  account: string | undefined,
  more: Partial<TrailEvent> = {},
): TrailEvent {
  const { block, due, by = due === undefined ? undefined : 'renewal', client, requestId: request } = job.data;
  const who = { block, by, client, account, request, job: job.lock.jobId };
  return { at: parts.clock.now(), event, names: namesOf(job), ...who, ...more };
}

/** Of a certificate that was issued the inventory gets itself. */
function tellOfIssue(run: SignRun, { chain, issuedBy }: Issued, { how, leaf }: Got): Told {
  const { der, ...what } = describeLeaf(chain, leaf);
  const beside = how === 'issued' ? ['leaf', der.toString('base64')] : [];
  return { event: toEvent(run, how, issuedBy?.account, what), beside };
}

/**
 * Writes the result for those who wait, and lets the next job order the same names.
 *
 * @param account where the job may still hold them
 * @param over keys in Redis of what this end makes void
 * @param got needed where a certificate is the result
 */
export async function writeResult(
  run: SignRun,
  account: string,
  result: SignResult,
  over: string[] = [],
  got?: Got,
): Promise<SignJobEnd> {
  const { parts, job, log } = run;
  const about = { names: namesOf(job), seconds: (parts.clock.now() - job.createdAt) / 1000 };
  let told: Told | undefined;
  let say: () => void; // once it is true
  if (result.outcome === 'issued') {
    say = () => log.info({ ...about, account: result.issuedBy?.account }, 'certificate issued');
    told = got && tellOfIssue(run, result, got);
  } else {
    const { code, detail } = result.error;
    say = () => log.warn({ ...about, code, reason: detail }, 'no certificate');
    told = { event: toEvent(run, 'failed', account || undefined, { detail }) };
  }
  const all = result.outcome === 'failed' ? [...over, ...tokenOf(parts.records, job.data)] : over;
  const { order } = job.data;
  const records = order === undefined ? parts.records : recordsWithOrder(run, order, got?.leaf);
  const key = await records.writeResult(job.lock, result, flightOf(job.data, account), all, told);
  say();
  return finish(run, { key, result });
}

/** Gives up the job's places before the CAs' limits. */
export async function finish(run: SignRun, resultWritten: Written): Promise<SignJobEnd> {
  const { parts, job, progress } = run;
  for (const { account } of job.data.accounts) {
    if (progress.settled.has(account) || progress.orderAt(account).turn === 'exempt') continue;
    await parts.cas.get(account)?.budget.leave(job.data.identifiers, toHolder(run, account));
  }
  return { end: 'finished', ...resultWritten };
}
