import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Checkpoint } from '../../shared/order/order-state.ts';
import { type Certificate, certifiesKey, readCertificate } from '../../shared/pki/certificate.ts';
import { joinChain, splitChain } from '../../shared/pki/pem.ts';
import type { SignResult } from '../../shared/queue/sign-job-data.ts';
import { flightOf, namesOf, type SignJobEnd, type SignRun, toClaim } from './job.ts';

type Issued = Extract<SignResult, { outcome: 'issued' }>;

/** The chain as clients get it, after a look at whether the CA certified the key that was asked for. */
export function toIssued({ job, csr, progress }: SignRun, ca: Ca, downloaded: string): Issued {
  const { pems, leaf } = readDownload(downloaded);
  if (!certifiesKey(leaf, csr.der)) {
    throw new IssuanceError('unexpected', "the CA sent a certificate that is not for the CSR's key");
  }
  const refused = progress.refusals.map(({ account, detail }) => ({ account, reason: detail }));
  return {
    outcome: 'issued',
    block: job.data.block,
    chain: joinChain(pems),
    issuedBy: { account: ca.name, directory: ca.directoryUrl },
    ...(refused.length > 0 && { refused }),
  };
}

function readDownload(downloaded: string): { pems: string[]; leaf: Certificate } {
  try {
    const pems = splitChain(downloaded);
    return { pems, leaf: readCertificate(pems[0] ?? '') };
  } catch (error) {
    throw new IssuanceError('unexpected', 'the CA sent a damaged certificate chain', { cause: error });
  }
}

/** Into storage first: a job is not finished before its certificate is safe. Failures here are only logged. */
export async function keepCertificate(
  run: SignRun,
  ca: Ca,
  { turn }: Checkpoint,
  issued: Issued,
): Promise<void> {
  const { parts, job, csr, log } = run;
  const { identifiers, storage } = job.data;
  const { chain, issuedBy } = issued;
  await parts.records.confirmLock(job.lock); // else the certificate is its successor's to store and to count
  const acts = {
    'the certificate cannot be stored': () =>
      issuedBy && parts.storages.get(storage)?.put(csr, chain, issuedBy),
    'the renewal cannot be planned; the scheduler will find it': () => planRenewal(run, issued),
    'the certificate cannot be counted': () =>
      turn === 'counted' && ca.budget.spendCertificate(identifiers, toClaim(job)),
    'earlier failures cannot be forgotten': () => ca.limits.recordSuccess(identifiers),
  };
  for (const [failure, act] of Object.entries(acts)) {
    try {
      await act();
    } catch (error) {
      log.error({ storage, reason: describeError(error) }, failure);
    }
  }
}

async function planRenewal(
  { parts, job, csr }: SignRun,
  { chain, issuedBy, refused }: Issued,
): Promise<void> {
  const { storage, block, due } = job.data;
  if (!parts.storages.get(storage)?.upkeep) return;
  const entry = { csr, chain, leaf: readCertificate(chain), ...(issuedBy && { issuedBy }) };
  const how = { block, ahead: due !== undefined, ...(refused && { refused }) };
  await parts.renewals.issued(storage, entry, how, parts.clock.now());
}

/**
 * Writes the result for the clients that wait, and lets the next job order the same names.
 *
 * @param account where the job may still hold them
 */
export async function writeResult(run: SignRun, account: string, result: SignResult): Promise<SignJobEnd> {
  const { parts, job, log } = run;
  const seconds = (parts.clock.now() - job.createdAt) / 1000;
  if (result.outcome === 'issued') {
    log.info({ names: namesOf(job), seconds, account: result.issuedBy?.account }, 'certificate issued');
  } else {
    const { code, detail } = result.error;
    log.warn({ names: namesOf(job), seconds, code, reason: detail }, 'no certificate');
  }
  const key = await parts.records.writeResult(job.lock, result, flightOf(job.data, account));
  return finish(run, { key, result });
}

/** Leaves the waiting lists of the CAs' limits. */
export async function finish(
  { parts, job, progress }: SignRun,
  resultWritten: { key: string; result: SignResult },
): Promise<SignJobEnd> {
  for (const { account } of job.data.accounts) {
    if (progress.orderAt(account).turn === 'exempt') continue;
    await parts.cas.get(account)?.budget.leave(job.data.identifiers, toClaim(job));
  }
  return { end: 'finished', ...resultWritten };
}
