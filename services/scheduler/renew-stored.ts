import type { Admission } from '../../shared/admission/admit.ts';
import { describeError, IssuanceError, type SignFailure } from '../../shared/base/errors.ts';
import { isStorageFault } from '../../shared/base/storage-faults.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { failedByQueue, type SignRecords } from '../../shared/queue/sign-records.ts';
import { drawBack } from '../../shared/renewal/draw-back.ts';
import type { NewestIndex } from '../../shared/renewal/newest-index.ts';
import {
  isRenewed,
  type LastFetch,
  type ManagedCertificate,
  type RenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { isDue } from '../../shared/renewal/renewal-window.ts';
import {
  isFetched,
  isOfAnother,
  placeOf,
  planStored,
  toManaged,
} from '../../shared/renewal/stored-renewals.ts';
import type { KeptEntry } from '../../shared/storage/storage.ts';
import type { Trail } from '../../shared/trail/trail.ts';
import {
  endEvents,
  notifyOfExpiry,
  notifyOfFailure,
  notifyOfUnfetched,
  warningTime,
} from './notify-renewals.ts';
import { type PollParts, pollRenewalInfo } from './poll-renewal-info.ts';
import { isForItsClient, toRenewalJob } from './renewal-job.ts';
import { type Looked, type StoredAt, watchStored } from './watch-stored.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** A job may be over in seconds, or have to wait for the CA's limits for days. */
const FIRST_JOB_LOOK = 10 * SECOND;
const LAST_JOB_LOOK = 600 * SECOND;
const SUCCESSOR_LOOK = HOUR / 6;
/** A certificate that no client fetches may be fetched again. */
const LEFT_LOOK = 6 * HOUR;
const AFTER_FAULT = HOUR / 6;
const UNCONFIGURED_LOOK = HOUR / 6;

export type RenewalParts = PollParts & {
  index: RenewalIndex;
  newest: NewestIndex;
  /** Those that keep anything. */
  storages: Map<string, StoredAt>;
  admission: Admission;
  signQueue: SignQueue;
  trail: Pick<Trail, 'write'>;
  records: SignRecords;
  notices: Notices;
};

/**
 * One look at one stored certificate that is due for it: asks the CA, renews, notifies; and says when to
 * look again.
 */
export async function lookAtStored(
  parts: RenewalParts,
  managed: ManagedCertificate,
  signal: AbortSignal,
): Promise<void> {
  const { index, clock, log } = parts;
  try {
    const looked = await lookCloser(parts, drawBack(managed, clock.now()), signal);
    if (looked) await index.save(looked.managed, looked.at);
  } catch (error) {
    signal.throwIfAborted();
    const said = { id: managed.id, names: managed.names, reason: describeError(error) };
    log[isStorageFault(error) ? 'debug' : 'error'](said, 'a renewal cannot be looked at');
    await index.save(managed, clock.now() + AFTER_FAULT); // the others are not to wait for this one
  }
}

async function lookCloser(
  parts: RenewalParts,
  given: ManagedCertificate,
  signal: AbortSignal,
): Promise<Looked | undefined> {
  const { index, storages, clock } = parts;
  const place = placeOf(given);
  const from = storages.get(place.storage);
  if (!from) return keepToItsEnd(parts, given, UNCONFIGURED_LOOK);
  const entry = await from.storage.upkeep?.read(place.key);
  if (!entry) return void (await index.remove(given.id)); // expired and removed
  if (isOfAnother(entry, given)) {
    const successor = { ...toManaged(given.id, entry, from, false), place: given.place };
    return void (await index.add(successor, clock.now() + Math.random() * SUCCESSOR_LOOK));
  }
  const [fetched] = await index.lastFetches([given.id]);
  const superseded = !given.forced && (await isSuperseded(parts, given, place.storage, fetched));
  const isTheirs = !given.forced && isForClients(parts.admission, fetched, entry);
  const managed = { ...given, renews: from.renewAhead && !isTheirs, superseded };
  const at = { ...from, entry, name: place.storage, fetched };
  if (superseded) return keepToItsEnd(parts, managed, LEFT_LOOK);
  return isRenewed(managed)
    ? lookToRenew(parts, managed, at, signal)
    : watchStored(parts, managed, at, signal);
}

/** What only a client may ask for that shows its certificate is not renewed without that. */
function isForClients(
  { blocks }: Pick<Admission, 'blocks'>,
  fetched: LastFetch | undefined,
  { leaf }: KeptEntry,
): boolean {
  const block = blocks.find(({ name }) => name === fetched?.block);
  return block !== undefined && leaf.identifiers.some(identifier => isForItsClient(block, identifier));
}

/**
 * The same auth block has got a newer certificate for the same names by another CSR, and no client has
 * fetched this one since.
 */
async function isSuperseded(
  { index, newest, clock }: RenewalParts,
  { id, names }: ManagedCertificate,
  storage: string,
  fetched: LastFetch | undefined,
): Promise<boolean> {
  if (!fetched) return false;
  const last = await newest.find({ block: fetched.block, storage, names });
  if (!last || last.id === id || Math.min(last.at, clock.now()) <= fetched.at) return false;
  return (await index.read([last.id]))[0] !== undefined; // it may be revoked by now
}

/**
 * A superseded one stays in the index, else it would be found anew; and a second host with a key of its own
 * may fetch it again. The storage of another one may be none that this scheduler knows yet, or may lack in a
 * file that is being written: nobody would look for what is forgotten here.
 */
async function keepToItsEnd(
  { index, clock }: RenewalParts,
  managed: ManagedCertificate,
  pause: number,
): Promise<Looked | undefined> {
  const now = clock.now();
  if (managed.notAfter <= now) return void (await index.remove(managed.id));
  return { managed, at: now + pause };
}

async function lookToRenew(
  parts: RenewalParts,
  given: ManagedCertificate,
  from: Renewing,
  signal: AbortSignal,
): Promise<Looked> {
  const { clock } = parts;
  const seen = given.looked ? given : await lookFirst(parts, given);
  const followed = await followJob(parts, seen);
  if (followed.job) await notifyOfExpiry(parts, followed);
  if (followed.job) return { managed: followed, at: clock.now() + jobLook(followed.job, clock.now()) };
  const polled = await pollRenewalInfo(parts, followed, signal);
  const planned = { ...polled, plan: planStored(polled, from.renewWithin) };
  await notifyOfExpiry(parts, planned);
  if (!planned.forced && !isDue(planned.plan, clock.now()))
    return { managed: planned, at: nextLook(planned, clock.now()) };
  return renew(parts, planned, from);
}

/**
 * The next time that something is to be done; from the first warning on, each day brings it nearer to the
 * next one.
 */
function nextLook(managed: ManagedCertificate, now: number): number {
  const warning = warningTime(managed);
  const times = [managed.plan.at, managed.poll ?? Number.POSITIVE_INFINITY, warning].filter(at => at > now);
  return Math.min(...times, Math.max(warning, now) + DAY);
}

/** A new certificate ends the events of its predecessor. */
async function lookFirst(parts: RenewalParts, managed: ManagedCertificate): Promise<ManagedCertificate> {
  await endEvents(parts, managed);
  return { ...managed, looked: true };
}

const jobLook = ({ since }: { since: number }, now: number) =>
  Math.min(Math.max((now - since) / 2, FIRST_JOB_LOOK), LAST_JOB_LOOK);

/** What became of the job that renews it; `job` stays while it runs. */
async function followJob(parts: RenewalParts, managed: ManagedCertificate): Promise<ManagedCertificate> {
  const { job, ...rest } = managed;
  if (job === undefined) return managed;
  const result = await parts.records.readResult(job.id);
  if (!result) {
    const found = await parts.signQueue.find(job.id);
    if (!found) return rest; // Redis may lose jobs
    return found.hasFailed ? failed(parts, rest, failedByQueue(found.block).error) : managed;
  }
  // Had it been stored, this entry would have been replaced.
  const unstored: SignFailure = { code: 'unexpected', detail: 'the new certificate could not be stored' };
  return failed(parts, rest, result.outcome === 'failed' ? result.error : unstored);
}

async function failed(
  parts: RenewalParts,
  managed: ManagedCertificate,
  error: SignFailure,
): Promise<ManagedCertificate> {
  const count = (managed.failures?.count ?? 0) + 1;
  const { forced: _, ...rest } = managed;
  const failures = { count, last: parts.clock.now(), retryAfter: error.retryAfter, reason: error.detail };
  const after = { ...rest, failures };
  await notifyOfFailure(parts, after, error);
  return after;
}

type Renewing = StoredAt & { name: string; entry: KeptEntry; fetched: LastFetch | undefined };

/**
 * The next post orders what an operator wants reissued, whether or not it can be renewed before.
 */
async function handOutNoMore(managed: ManagedCertificate, { storage, entry }: Renewing): Promise<void> {
  if (entry.renewFrom !== undefined && entry.renewFrom <= (managed.reissue ?? 0)) return;
  await storage.upkeep?.setRenewFrom(placeOf(managed).key, entry.chain, managed.reissue);
}

async function renew(parts: RenewalParts, managed: ManagedCertificate, from: Renewing): Promise<Looked> {
  const { signQueue, trail, clock, log } = parts;
  const { fetched } = from;
  const now = clock.now();
  const wanted = isFetched(managed, fetched) || managed.forced;
  if (managed.reissue !== undefined && !(wanted && managed.renews)) await handOutNoMore(managed, from);
  if (!wanted) {
    await notifyOfUnfetched(parts, managed, fetched);
    return { managed: { ...managed, left: true }, at: now + LEFT_LOOK };
  }
  try {
    const job = await toRenewalJob(parts, managed, { storage: from.name, entry: from.entry, fetched });
    const id = await signQueue.enqueue(job);
    const { names } = managed;
    const why = managed.forced ? 'an operator wants it' : managed.plan.why;
    await trail.write({ at: now, event: 'renewed', names, block: job.block, job: id, detail: why });
    log.info({ names, job: id, why }, 'renewing');
    return { managed: { ...managed, left: false, job: { id, since: now } }, at: now + FIRST_JOB_LOOK };
  } catch (error) {
    if (!(error instanceof IssuanceError) || error.code === 'unavailable') throw error;
    const after = await failed(parts, managed, { code: error.code, detail: error.message });
    const planned = { ...after, plan: planStored(after, from.renewWithin) };
    return { managed: planned, at: nextLook(planned, now) };
  }
}
