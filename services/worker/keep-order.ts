import { refusesCsr } from '../../shared/acme/problem.ts';
import { bearsSeal, withSeal } from '../../shared/admission/hmac.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { KeptOrder } from '../../shared/limits/standing-limit.ts';
import type { Refusal } from '../../shared/order/fail-over.ts';
import type { Checkpoint } from '../../shared/order/order-state.ts';
import type { CsrText } from '../../shared/pki/csr.ts';
import type { Flight } from '../../shared/queue/sign-records.ts';
import { flightOf, type SignRun } from './job.ts';

/** How a job ended at one account. */
type End = { ca: Ca; key: string; checkpoint: Checkpoint; error: unknown };

/**
 * Keeps the orders of a job that fails while their CAs are still working on them, or cannot be asked: the
 * next post of the same CSR goes on with them, instead of making others. Each account's own error counts.
 *
 * @param account that the job ended at with `error`; the others have refused before, or were never asked
 * @returns keys in Redis of what was kept before and is void now
 */
export async function keepForNextJob(run: SignRun, account: string, error: unknown): Promise<string[]> {
  const refused = run.progress.refusals.map(one => ({ account: one.account, error: toError(one) }));
  const ends = [...refused, { account, error }].flatMap(one => toEnd(run, one.account, one.error));
  const of = (what: ReturnType<typeof whatToKeep>) => ends.filter(one => whatToKeep(one) === what);
  const settled = new Set(of('refusal').map(({ key }) => key)); // accounts at one CA share a key
  for (const end of of('order')) {
    if (!settled.has(end.key)) await keep(run, end);
    settled.add(end.key);
  }
  return of('nothing').flatMap(({ key }) => (settled.has(key) ? [] : [key]));
}

const toError = ({ code, detail, problem, until }: Refusal) =>
  new IssuanceError(code, detail, { problem, retryAfter: until });

function toEnd({ parts, csr, progress }: SignRun, account: string, error: unknown): End[] {
  const ca = parts.cas.get(account);
  if (!ca) return [];
  return [{ ca, key: ca.limits.csrKey(csr.digest), checkpoint: progress.orderAt(account), error }];
}

/** A job that had no order changes nothing; a refusal of the CSR was remembered where it was made. */
function whatToKeep({ checkpoint, error }: End): 'order' | 'refusal' | 'nothing' | 'as it was' {
  const code = error instanceof IssuanceError ? error.code : undefined;
  if (refusesCsr(error)) return 'refusal';
  if (checkpoint.order.url === undefined) return checkpoint.lostOrders > 0 ? 'nothing' : 'as it was';
  return code === 'unavailable' || code === 'rateLimited' ? 'order' : 'nothing';
}

const keptOf = ({ digest }: CsrText) => `kept order ${digest}`;

/** Whether an order was kept by a worker for this CSR, and is for the same certificate profile. */
export function mayGoOn(
  { parts, csr, log }: SignRun,
  kept: KeptOrder,
  { certificateProfile }: Flight,
): boolean {
  if (!bearsSeal(parts.seals, keptOf(csr), kept)) {
    log.warn({ order: kept.url }, 'the order that is kept for this CSR in Redis bears no seal: passed over');
    return false;
  }
  return kept.certificateProfile === certificateProfile;
}

async function keep({ parts, job, csr, log }: SignRun, { ca, checkpoint, error }: End): Promise<void> {
  const { order, turn } = checkpoint;
  const { url, finalizedAt } = order;
  if (url === undefined || !(error instanceof IssuanceError)) return;
  const { certificateProfile } = flightOf(job.data, ca.name);
  const kept = { url, account: ca.name, certificateProfile, turn, ...(finalizedAt && { finalizedAt }) };
  const sealed = withSeal(parts.seals, keptOf(csr), kept);
  await ca.limits.rememberCsr(csr.digest, job.data.identifiers, error, sealed);
  log.info({ order: url, account: ca.name }, 'the order is kept for the next post of the same');
}
