import { hasRenewalInfo } from '../../shared/acme/directory.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import type { Claim, Shortage } from '../../shared/limits/budget.ts';
import { StandingLimitError } from '../../shared/limits/limits.ts';
import type { CsrText } from '../../shared/pki/csr.ts';
import { deduplicationId } from '../../shared/queue/sign-job-data.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import type { Later, Reached, Run, SignJob } from './sign-run.ts';

const FLIGHT_RETRY = 1_000;
/** Of one that comes when its certificate has ended. */
const LATE_RENEWAL_PATIENCE = 3_600_000;
/** What a renewal waits for may be over sooner than was told, as when an operator clears a limit. */
const LONGEST_NAP = 600_000;

/**
 * What can save the CA a request: another job's order for the same names, after which the certificate may be there
 * already, and limits that are known to stand against it, or to be used up by those who go first.
 *
 * @returns `undefined` when the order may be made
 */
export async function beforeNewOrder(run: Run): Promise<Reached | Later | undefined> {
  const { parts, job, csr } = run;
  const { data, lock } = job;
  if (!(await parts.flights.enter(lock.jobId, data))) {
    return { end: 'later', until: parts.clock.now() + FLIGHT_RETRY };
  }
  const storage = parts.storages.get(data.storage);
  const stored = await storage?.get(csr);
  // What a renewal is to replace is no answer, however fresh.
  if (stored && (data.due === undefined || stored.leaf.notAfter > data.due))
    return { result: { outcome: 'issued', block: data.block, chain: stored.chain } };
  run.task.replaces ??= await findReplaced(storage, csr, parts.clock.now());
  const standing = await parts.limits.standingAgainst(data);
  if (standing) return waitForLimit(run, standing, hasTimeUntil(data.due, standing.retryAfter));
  const shortage = await takeTurn(run);
  return shortage && waitForLimit(run, toStandingLimit(shortage), shortage.waits);
}

/** A post of a CSR whose stored certificate is about to end renews it, and CAs like to know (RFC 9773 section 5). */
async function findReplaced(
  storage: Storage | undefined,
  csr: CsrText,
  now: number,
): Promise<string | undefined> {
  const kept = await storage?.upkeep?.read(storage.upkeep.keyOf(csr));
  return kept && kept.leaf.notAfter > now ? renewalInfoId(kept.chain) : undefined;
}

/** Takes one new order, once for all tries to make it; a renewal that the CA exempts takes none (RFC 9773 section 5). */
async function takeTurn(run: Run): Promise<Shortage | undefined> {
  const { parts, job, checkpoint, order } = run;
  run.checkpoint = { ...checkpoint, begun: checkpoint.begun ?? parts.clock.now() };
  if (checkpoint.turn) return undefined;
  const replaces = run.task.replaces !== undefined && !checkpoint.order.replaced;
  if (replaces && (await hasRenewalInfo(parts.connection, order.signal))) {
    run.checkpoint.turn = 'exempt';
    return undefined;
  }
  const shortage = await parts.budget.takeOrder(job.data, toClaim(job));
  if (!shortage) run.checkpoint.turn = 'counted';
  return shortage;
}

/**
 * Interactive posts go in the order in which they came, before renewals that have time, and those by the end of what they
 * renew, which puts one that is over already before all posts.
 */
export function toClaim({ data, lock, createdAt }: SignJob): Claim {
  const { due, patience = 0, share } = data;
  return {
    ...{ id: lock.jobId, what: deduplicationId(data), share },
    rank: due ?? createdAt,
    patience: due === undefined ? createdAt + patience : Math.max(due, createdAt + LATE_RENEWAL_PATIENCE),
  };
}

const hasTimeUntil = (due: number | undefined, until: number | undefined) =>
  due !== undefined && until !== undefined && until <= due;

/** Whoever waits lets others order the same names. */
async function waitForLimit({ parts, job }: Run, limit: StandingLimitError, waits: boolean): Promise<Later> {
  if (!waits || limit.retryAfter === undefined) throw limit;
  await parts.flights.leave(job.lock.jobId, job.data);
  return { end: 'later', until: Math.min(limit.retryAfter, parts.clock.now() + LONGEST_NAP) };
}

function toStandingLimit({ key, until }: Shortage): StandingLimitError {
  const detail = `the CA's limit for ${key} is used up; it was not asked`;
  return new StandingLimitError('rateLimited', detail, { retryAfter: until });
}
