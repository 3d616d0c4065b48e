import type { KeyObject } from 'node:crypto';
import type { Ca } from '../ca/open-ca.ts';
import { newCheckpoint, type OrderTask } from '../order/next-step.ts';
import { makeCsr } from '../pki/make-csr.ts';
import { isDue } from '../renewal/renewal-window.ts';
import {
  fetchCertificate,
  findMismatch,
  planDomain,
  type RenewalHabits,
  retryTime,
  toHeld,
  updateCertificateFile,
} from './certificate.ts';
import { type DomainEntry, inDirectory, keyFileOf, makeKeyFile, readKeyFile } from './file.ts';
import { findOrder, type Ordered, type Ordering, orderCertificate } from './order.ts';

/** When a run renews. */
export type RunHabits = RenewalHabits & {
  /** Renews whatever is run, due or not. */
  now?: boolean | undefined;
  /** When the next run will be, in milliseconds since the epoch: what would fall before is renewed now. */
  nextRun?: number | undefined;
};

/**
 * Brings one domain to where it has to be: a key, an order that is followed to its end, a certificate on disk that is
 * not yet to be renewed. Stopped anywhere, another run goes on from what `shaman.json` holds.
 *
 * @returns whether a certificate was issued
 */
export async function runDomain(
  ordering: Ordering,
  ca: Ca,
  entry: DomainEntry,
  habits: RunHabits,
): Promise<boolean> {
  const key = await openDomainKey(entry);
  const from = await findOrder(ordering, ca, entry);
  const reason = from ? undefined : await whyOrder(ordering, ca, entry, key, habits);
  if (!from && reason === undefined) return false;
  if (reason !== undefined) entry.say('info', `to be ordered: ${reason}`);
  const task = await toTask(entry, key);
  const ordered = await orderCertificate(ordering, ca, entry, task, from ?? newCheckpoint());
  await keepCertificate(entry, ordered, habits, ordering.signal);
  await ordered.gate.issued(ordered.turn);
  return true;
}

async function openDomainKey(entry: DomainEntry): Promise<KeyObject> {
  const { file, domain } = entry;
  const { name, key, keyType } = domain;
  if (key !== undefined) return (await readKeyFile(inDirectory(file, key))).key;
  const keyFile = keyFileOf(name);
  const ready = await makeKeyFile(inDirectory(file, keyFile), keyType);
  if (ready.made) entry.say('info', `key made: ${keyFile}`);
  await entry.change({ key: keyFile });
  return ready.key;
}

/** Why a new certificate is wanted, in a few words; the one that is there is put on disk where it is to be kept. */
async function whyOrder(
  { accounts, clock, signal }: Pick<Ordering, 'accounts' | 'clock' | 'signal'>,
  ca: Ca,
  entry: DomainEntry,
  key: KeyObject,
  habits: RunHabits,
): Promise<string | undefined> {
  const now = clock.now();
  const certificate = await fetchCertificate(accounts, ca, entry);
  if (!certificate) return isTooSoon(entry, habits, now) ? undefined : 'there is no certificate yet';
  const mismatch = findMismatch(certificate, entry.domain, key);
  if (mismatch) return isTooSoon(entry, habits, now) ? undefined : mismatch;
  await updateCertificateFile(entry, certificate.chain);
  const plan = await planDomain(entry, certificate, habits, signal);
  if (habits.now) return 'it was asked for';
  if (isDue(plan, now, habits.nextRun)) return plan.why;
  // Failed attempts are of no interest any more where it would not be tried now anyway.
  if (entry.domain.memory.failures && !isDue({ ...plan, at: plan.first }, now, habits.nextRun)) {
    await entry.change({ memory: { failures: undefined } });
  }
  return undefined;
}

function isTooSoon({ domain }: DomainEntry, { patient }: RunHabits, now: number): boolean {
  const { failures } = domain.memory;
  return patient === true && failures !== undefined && now < retryTime(failures);
}

async function toTask({ domain }: DomainEntry, key: KeyObject): Promise<OrderTask> {
  const { identifiers, certificateProfile, memory } = domain;
  const replaces = memory.renewal?.named ? memory.renewal.id : undefined;
  return { identifiers, csr: await makeCsr(key, identifiers), certificateProfile, replaces };
}

/** The file first: a run that is stopped in between gets the same certificate once more from the order. */
async function keepCertificate(
  entry: DomainEntry,
  { chain, url, ca }: Ordered,
  habits: RunHabits,
  signal: AbortSignal,
): Promise<void> {
  await updateCertificateFile(entry, chain);
  const memory = { order: undefined, renewal: undefined, failures: undefined };
  await entry.change({ certificateUrl: url, orderUrl: undefined, memory });
  const held = toHeld(chain, ca);
  entry.say('info', `certificate ${url}, valid until ${new Date(held.leaf.notAfter).toISOString()}`);
  await planDomain(entry, held, habits, signal);
}
