import type { KeyObject } from 'node:crypto';
import type { Clock } from '../base/basics.ts';
import { acceptFor } from '../order/accept-chain.ts';
import type { OrderTask } from '../order/order-state.ts';
import { makeCsr } from '../pki/make-csr.ts';
import { openedKeyDigest } from '../pki/public-key.ts';
import { drawBackFailures } from '../renewal/draw-back.ts';
import { isDue } from '../renewal/renewal-window.ts';
import { OWN_ACCOUNT, toIssuedBy } from './account.ts';
import {
  backoffEnd,
  fetchCertificate,
  findMismatch,
  planDomain,
  type RenewalHabits,
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
  /** Gets each chain that was issued, and the directory of its CA. */
  issued?: ((directory: string, chain: string) => Promise<void>) | undefined;
  /** Rejects where a key is to get no certificate any more. @param publicKey its `keyDigest` */
  refuseBlocked?: ((publicKey: string) => Promise<void>) | undefined;
};

/**
 * Brings one domain to where it has to be: a key, an order that is followed to its end, a certificate on disk
 * that is not yet to be renewed. Stopped anywhere, another run goes on from what `shaman.json` holds.
 *
 * @returns whether a certificate was issued
 */
export async function runDomain(ordering: Ordering, entry: DomainEntry, habits: RunHabits): Promise<boolean> {
  const key = await openDomainKey(entry);
  const resumed = await findOrder(ordering, entry);
  const wanted = resumed ? { patience: ordering.clock.now() } : await whyOrder(ordering, entry, key, habits);
  if (!wanted) return false;
  const refuseBlocked = async () => habits.refuseBlocked?.(openedKeyDigest(key));
  const confirm = async () => {
    await ordering.confirm();
    await refuseBlocked(); // it may have been blocked since the order was made
  };
  await refuseBlocked();
  const task = await toTask(entry, key, ordering.clock);
  const { patience } = wanted;
  const ordered = await orderCertificate({ ...ordering, confirm }, entry, { task, resumed, patience });
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

/**
 * Whether a new certificate is wanted; the one that is there is put on disk where it is to be kept.
 *
 * @returns until when it can be waited for, in milliseconds since the epoch: what is only renewed has time
 */
async function whyOrder(
  { accounts, clock, signal }: Pick<Ordering, 'accounts' | 'clock' | 'signal'>,
  entry: DomainEntry,
  key: KeyObject,
  habits: RunHabits,
): Promise<{ patience: number } | undefined> {
  const now = clock.now();
  const { failures } = entry.domain.memory;
  const drawn = failures && drawBackFailures(failures, now);
  if (drawn !== failures) await entry.change({ memory: { failures: drawn } });
  const order = (reason: string, patience = now) => {
    entry.say('info', `to be ordered: ${reason}`);
    return { patience };
  };
  const certificate = await fetchCertificate(accounts, entry);
  const fault = certificate
    ? findMismatch(certificate, entry.domain, key, accounts)
    : 'there is no certificate yet';
  if (!certificate || fault !== undefined) {
    return isTooSoon(entry, habits, now) ? undefined : order(fault ?? '');
  }
  await updateCertificateFile(entry, certificate.chain);
  const plan = await planDomain(entry, certificate, habits, signal);
  if (habits.now) return order('it was asked for');
  if (isDue(plan, now, habits.nextRun)) return order(plan.why, certificate.leaf.notAfter);
  // Failed attempts are of no interest any more where it would not be tried now anyway.
  if (entry.domain.memory.failures && !isDue({ ...plan, at: plan.first }, now, habits.nextRun)) {
    await entry.change({ memory: { failures: undefined } });
  }
  return undefined;
}

function isTooSoon({ domain }: DomainEntry, { patient }: RunHabits, now: number): boolean {
  const { failures } = domain.memory;
  return patient === true && failures !== undefined && now < backoffEnd(failures);
}

async function toTask({ domain }: DomainEntry, key: KeyObject, clock: Clock): Promise<OrderTask> {
  const { identifiers, certificateProfile } = domain;
  const csr = await makeCsr(key, identifiers);
  return { identifiers, csr, certificateProfile, accept: acceptFor(identifiers, csr, clock) };
}

/**
 * Whoever counts issues hears of it first. Then the file: a run that is stopped in between gets the same
 * certificate once more from the order.
 */
async function keepCertificate(
  entry: DomainEntry,
  { chain, url, ca }: Ordered,
  habits: RunHabits,
  signal: AbortSignal,
): Promise<void> {
  await habits.issued?.(ca.directoryUrl, chain);
  await updateCertificateFile(entry, chain);
  const issuedBy = ca.name === OWN_ACCOUNT ? undefined : toIssuedBy(ca);
  const memory = { order: undefined, issuedBy, renewal: undefined, failures: undefined };
  await entry.change({ certificateUrl: url, orderUrl: undefined, memory });
  const held = toHeld(chain, ca);
  entry.say('info', `certificate ${url}, valid until ${new Date(held.leaf.notAfter).toISOString()}`);
  await planDomain(entry, held, habits, signal);
}
