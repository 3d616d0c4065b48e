import { renewalTime } from '../../shared/pki/life.ts';
import type { LastFetch, ManagedCertificate, RenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { isFetched, placeOf, planStored } from '../../shared/renewal/stored-renewals.ts';
import type { KeptEntry, Storage } from '../../shared/storage/storage.ts';
import type { KeepingConfig } from '../../shared/storage/storage-section.ts';
import { type PollParts, pollRenewalInfo } from './poll-renewal-info.ts';

const DAY = 24 * 3_600_000;

/** A storage, and how it keeps. */
export type StoredAt = { storage: Storage } & Pick<KeepingConfig, 'renewWithin' | 'renewAhead'>;

/** What was found out, and when to look again. */
export type Looked = { managed: ManagedCertificate; at: number };

/**
 * One look at a stored certificate that Quarry does not renew by itself. Where the CA wants it renewed sooner
 * than posts would renew it, as when it is to be revoked, the storage hands it out no longer: so the next
 * post orders.
 */
export async function watchStored(
  parts: PollParts & { index: RenewalIndex },
  managed: ManagedCertificate,
  from: StoredAt & { entry: KeptEntry; fetched: LastFetch | undefined },
  signal: AbortSignal,
): Promise<Looked | undefined> {
  const { index, clock } = parts;
  const now = clock.now();
  if (managed.notAfter <= now) return void (await index.remove(managed.id));
  if (!isFetched(managed, from.fetched)) return { managed, at: now + DAY }; // it may be fetched again
  const polled = await pollRenewalInfo(parts, managed, signal);
  const planned = { ...polled, plan: planStored(polled, from.renewWithin) };
  await passOn(parts, planned, from);
  const { poll } = planned;
  return { managed: planned, at: poll !== undefined && poll > now ? Math.min(poll, now + DAY) : now + DAY };
}

async function passOn(
  { log }: PollParts,
  { id, place, plan, names }: ManagedCertificate,
  { storage, renewWithin, entry }: StoredAt & { entry: KeptEntry },
): Promise<void> {
  const renewFrom = plan.at < renewalTime(entry.leaf, renewWithin) ? Math.floor(plan.at) : undefined;
  if (renewFrom === entry.renewFrom) return;
  const { key } = placeOf({ id, place });
  if (!(await storage.upkeep?.setRenewFrom(key, entry.chain, renewFrom))) return; // it has a successor by now
  if (renewFrom === undefined) return;
  log.info({ names, from: new Date(renewFrom), why: plan.why }, 'the next post orders, sooner than usual');
}
