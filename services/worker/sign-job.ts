import type { AccountChoice } from '../../shared/admission/account-choice.ts';
import { findObjection } from '../../shared/admission/admit.ts';
import { linkSignals } from '../../shared/base/basics.ts';
import { describeError, IssuanceError, toSignFailure } from '../../shared/base/errors.ts';
import type { Live } from '../../shared/base/live.ts';
import type { Registry } from '../../shared/base/metrics.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { concludeRound, type Refusal } from '../../shared/order/fail-over.ts';
import { LeftError } from '../../shared/order/leave-account.ts';
import { type AcceptedChain, joinChain } from '../../shared/pki/certificate.ts';
import { isCsrFor, readCsr } from '../../shared/pki/csr.ts';
import { NAMED } from '../../shared/pki/issuer.ts';
import {
  type FailedJob,
  type HeldJob,
  type JobSignals,
  type Later,
  openWorker,
  type WorkerParts,
} from '../../shared/queue/bullmq.ts';
import {
  isSignJobData,
  LockLostError,
  SIGN_QUEUE,
  type SignJobData,
  type SignResult,
} from '../../shared/queue/sign-records.ts';
import { findOrderOver } from './client-order.ts';
import { endWithoutResult, leaveFlights } from './end-without-result.ts';
import {
  finish,
  flightOf,
  type Issued,
  JobProgress,
  keepCertificate,
  ordererOf,
  patienceOf,
  type Signals,
  type SignJob,
  type SignJobEnd,
  type SignJobParts,
  type SignRun,
  toClaim,
  writeResult,
} from './job.ts';
import { LONGEST_JOB } from './judge.ts';
import { keepForNextJob } from './keep-order.ts';
import { noteIssuer } from './note-issuer.ts';
import { type Ordered, orderAt } from './order-at.ts';
import { readKept } from './read-kept.ts';
import { refuse, refuseUnsealed } from './refuse-job.ts';
import { endShare, findObstacle, giveBack, type Sharing } from './sharing.ts';
import { openFigures } from './sign-figures.ts';
import { withdrawAt } from './withdraw-at.ts';

/** How long a step may go on after SIGTERM before it is cut off. */
const LAST_STEP = 3_000;

const NOTHING_KEPT = { checkpoint: undefined, resultWritten: undefined, damage: undefined };
const JOB_ENDED = new Error('the job has ended');

/**
 * Takes sign jobs, and gives them back when they have to wait or when the worker stops. A job keeps the parts
 * that it was taken up with; its block's slots are those of the moment.
 */
export function consumeSignJobs(
  live: Live<{ jobs: SignJobParts; sharing: Sharing }>,
  concurrency: number,
  { metrics, ...queueParts }: WorkerParts & { metrics: Registry },
): AsyncDisposable {
  const figures = openFigures(metrics);

  async function run(job: HeldJob<SignJobData>, signals: JobSignals): Promise<string | Later> {
    const { jobs: parts, sharing } = live.current;
    const ofBlock = sharing.slots.get(job.data.block);
    const isAsked = !job.isNew || ofBlock !== undefined;
    const obstacle = isAsked && (await findObstacle(sharing, job, parts.clock.now()));
    if (obstacle) return obstacle;
    figures.running.inc();
    try {
      const end = await runSignJob(parts, job, signals);
      if (end.end === 'later') return await giveBack(live.current.sharing, job, end);
      await (live.current.sharing.slots.get(job.data.block) ?? ofBlock)?.end(job.lock.jobId);
      figures.finished.inc({ outcome: end.result.outcome === 'issued' ? 'issued' : end.result.error.code });
      return end.key;
    } finally {
      figures.running.dec();
    }
  }

  function failed(error: Error, { lock, data, over }: FailedJob<SignJobData>) {
    queueParts.log.error({ job: lock.jobId, reason: describeError(error) }, 'sign job failed');
    if (!over) return;
    endWithoutResult(live.current.jobs, lock, data).catch(() => {});
    if (data) endShare(live.current.sharing, lock.jobId, data);
  }

  return openWorker<SignJobData, string>(
    SIGN_QUEUE,
    { concurrency, isData: isSignJobData, patience: LAST_STEP, run, failed },
    queueParts,
  );
}

/**
 * Drives the orders of one job to its end, at one account after the other, or to a wait that is too long to
 * sit out.
 *
 * @param signals both reject with their reason, and the job resumes elsewhere from its last checkpoint
 */
export async function runSignJob(parts: SignJobParts, job: SignJob, signals: Signals): Promise<SignJobEnd> {
  using running = linkSignals(signals.abort); // a look without a waiter ends with this run
  const abort = running.signal;
  try {
    signals.stopping.throwIfAborted();
    if (!job.isSealed) return await refuseUnsealed(parts, job);
    const { checkpoint, resultWritten, damage } = job.isNew ? NOTHING_KEPT : await readKept(parts, job);
    const log = parts.log.child({ job: job.lock.jobId, request: job.data.requestId });
    const progress = new JobProgress(parts.records, job.lock, checkpoint);
    const run = {
      parts,
      job,
      csr: readCsr(Buffer.from(job.data.csr)),
      log,
      progress,
      signals: { ...signals, abort },
    };
    if (damage) return await endDamaged(run, damage);
    // A predecessor wrote the result and did not live to tell BullMQ.
    return resultWritten ? await finish(run, resultWritten) : await toEnd(run);
  } finally {
    running.abort(JOB_ENDED);
  }
}

/** The next post begins anew. */
async function endDamaged(run: SignRun, damage: IssuanceError): Promise<SignJobEnd> {
  const { parts, job } = run;
  await leaveFlights(parts.records, job.lock, job.data);
  return fail(run, '', damage);
}

async function toEnd(run: SignRun): Promise<SignJobEnd> {
  const { order } = run.job.data;
  const objection = findObjectionTo(run) ?? (order && (await findOrderOver(run, order)));
  if (objection !== undefined) return refuse(run, objection);
  for (;;) {
    const { refusals } = run.progress;
    const next = run.job.data.accounts.find(({ account }) => !refusals.some(one => one.account === account));
    const end = next ? await orderFrom(run, next) : await conclude(run);
    if (end) return end;
  }
}

/** Judges again what an intake or a scheduler has admitted. @returns why the job is not to be done */
function findObjectionTo({ parts, job, csr }: SignRun): string | undefined {
  const { solvers: verifications, order, storage, ...asked } = job.data;
  if (!isCsrFor(csr.der, asked.identifiers)) return 'what is to be ordered is not what the CSR names';
  return findObjection(parts.blocks, { ...asked, verifications, ...(order === undefined && { storage }) });
}

/** @returns `undefined` where the account has refused and the next one is to be tried */
async function orderFrom(run: SignRun, choice: AccountChoice): Promise<SignJobEnd | undefined> {
  const { parts, signals } = run;
  try {
    const ca = parts.cas.get(choice.account);
    if (!ca) throw unknownAccount(choice.account);
    return await endDrive(run, ca, await orderAt(run, ca, choice));
  } catch (error) {
    if (error instanceof LeftError) return leave(run, error.refusal);
    if (error instanceof LockLostError || signals.stopping.aborted || signals.abort.aborted) throw error;
    return fail(run, choice.account, error);
  }
}

/** The job was made by an intake with another configuration. */
const unknownAccount = (account: string) =>
  new LeftError({ account, code: 'misconfigured', detail: `account "${account}" is not configured here` });

async function endDrive(run: SignRun, ca: Ca, driven: Ordered): Promise<SignJobEnd> {
  if (driven.end === 'later')
    return { ...driven, hasOrder: run.progress.orderAt(ca.name).order.url !== undefined };
  if (driven.end === 'instead') {
    const { chain, issuedBy, leaf } = driven.instead;
    const stored = { block: run.job.data.block, chain, ...(issuedBy && { issuedBy }) };
    return writeResult(run, ca.name, { outcome: 'issued', ...stored }, [], { how: 'handed-out', leaf });
  }
  const { pems, leaf } = driven.accepted;
  const result = toIssued(run, ca, driven.accepted);
  // From here on the order is over: whatever fails now must not turn a certificate into an error.
  const { noted } = run.parts.issuers;
  const isNoted = [pems[1], NAMED + leaf.issuer].some(issuer => noted.has(`${ca.directoryUrl} ${issuer}`));
  if (!isNoted) await noteIssuer(run, ca, result.chain);
  await keepCertificate(run, ca, driven.checkpoint, { ...result, leaf });
  const { failureKeys, csrKey } = ca.limits;
  const over = [...failureKeys(run.job.data.identifiers, ordererOf(run)), csrKey(run.csr.digest)];
  return writeResult(run, ca.name, result, over, { how: 'issued', leaf });
}

function toIssued({ job, progress }: SignRun, ca: Ca, { pems }: AcceptedChain): Issued {
  const refused = progress.refusals.map(({ account, detail }) => ({ account, reason: detail }));
  return {
    outcome: 'issued',
    block: job.data.block,
    chain: joinChain(pems),
    issuedBy: { account: ca.name, directory: ca.directoryUrl },
    ...(refused.length > 0 && { refused }),
  };
}

/** Gives up what the job holds at an account, so that others can have it. */
async function leave(run: SignRun, refusal: Refusal): Promise<undefined> {
  const { progress, log, parts, job } = run;
  const { account, detail, until } = refusal;
  log.warn({ account, reason: detail, until: until && new Date(until) }, 'the account does not issue');
  const ca = parts.cas.get(account);
  if (ca) await withdrawAt(run, ca);
  await progress.saveRefusal(refusal);
  await ca?.budget.leave(job.data.identifiers, toClaim(run, account));
  await parts.records.leaveFlight(job.lock, flightOf(job.data, account));
}

/** Every account has refused. */
async function conclude(run: SignRun): Promise<SignJobEnd | undefined> {
  const { progress, parts, job } = run;
  const lastTry = (progress.begun ?? job.createdAt) + LONGEST_JOB;
  const conclusion = concludeRound(progress.refusals, { patience: patienceOf(job), lastTry });
  switch (conclusion.do) {
    case 'fail':
      return fail(run, '', conclusion.error); // what it held at each is given up already
    case 'withoutProfile':
      await progress.saveRound(conclusion.kept, true);
      return undefined;
    case 'again':
      await progress.saveRound(conclusion.kept, progress.withoutProfile);
      return { end: 'later', until: Math.max(conclusion.at, parts.clock.now()), hasOrder: false };
  }
}

async function fail(run: SignRun, account: string, error: unknown): Promise<SignJobEnd> {
  if (!(error instanceof IssuanceError)) run.log.error({ err: error }, 'bug in a sign job');
  const result: SignResult = { outcome: 'failed', block: run.job.data.block, error: toSignFailure(error) };
  return writeResult(run, account, result, await keepForNextJob(run, account, error));
}
