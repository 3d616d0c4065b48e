import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import { withdrawChallenges } from '../../shared/order/advance-order.ts';
import { type Certificate, certifiesKey, readCertificate } from '../../shared/pki/certificate.ts';
import { joinChain, splitChain } from '../../shared/pki/pem.ts';
import { type SignResult, toSignFailure } from '../../shared/queue/sign-job-data.ts';
import { toClaim } from './before-order.ts';
import { confirmLock, names, type Reached, type Run, type SignJobEnd } from './sign-run.ts';

/** The chain as clients get it, after a look at whether the CA certified the key that was asked for. */
export function toResult({ job, csr }: Run, downloaded: string): SignResult {
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

/** An order that comes to nothing leaves nothing behind. */
export async function giveUp(run: Run, error: unknown): Promise<Reached> {
  if (!(error instanceof IssuanceError)) run.log.error({ err: error }, 'bug in a sign job');
  await withdraw(run);
  return { result: { outcome: 'failed', block: run.job.data.block, error: toSignFailure(error) } };
}

export async function withdraw({ order, checkpoint, log }: Run): Promise<void> {
  try {
    await withdrawChallenges(order, checkpoint.order);
  } catch (error) {
    const reason = describeError(error);
    log.warn({ reason, order: checkpoint.order.url }, 'challenge responses remain until they expire');
  }
}

/** Into storage first: a job is not finished before its certificate is safe. Its failure is for the log alone. */
export async function keep(run: Run, chain: string): Promise<void> {
  const { parts, job, csr, log, checkpoint } = run;
  await confirmLock(run); // else the certificate is its successor's to store and to count
  const acts = {
    'the certificate cannot be stored': () => parts.storages.get(job.data.storage)?.put(csr, chain),
    'the renewal cannot be planned; the scheduler will find it': () => planRenewal(run, chain),
    'the certificate cannot be counted': () =>
      checkpoint.turn === 'counted' && parts.budget.spendCertificate(job.data, toClaim(job)),
    'earlier failures cannot be forgotten': () => parts.limits.recordSuccess(job.data),
  };
  for (const [failure, act] of Object.entries(acts)) {
    try {
      await act();
    } catch (error) {
      log.error({ storage: job.data.storage, reason: describeError(error) }, failure);
    }
  }
}

async function planRenewal({ parts, job, csr }: Run, chain: string): Promise<void> {
  const { storage, block, due } = job.data;
  if (!parts.storages.get(storage)?.upkeep) return;
  const entry = { csr, chain, leaf: readCertificate(chain) };
  await parts.renewals.issued(storage, entry, { block, ahead: due !== undefined }, parts.clock.now());
}

/** Writes the result for those who wait, and lets the next job order the same names. */
export async function tell(run: Run, result: SignResult): Promise<SignJobEnd> {
  const { parts, job, log } = run;
  const outcome = { names: names(job), seconds: (parts.clock.now() - job.createdAt) / 1000 };
  if (result.outcome === 'issued') log.info(outcome, 'certificate issued');
  else log.warn({ ...outcome, code: result.error.code, reason: result.error.detail }, 'no certificate');
  const key = await parts.records.writeResult(job.lock, result, parts.flights.key(job.data));
  return finish(run, { key, result });
}

export async function finish(
  { parts, job, checkpoint }: Run,
  written: NonNullable<Run['resultWritten']>,
): Promise<SignJobEnd> {
  if (checkpoint.turn !== 'exempt') await parts.budget.leave(job.data, toClaim(job));
  return { end: 'finished', ...written };
}
