import { hash } from 'node:crypto';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { Seals } from '../../shared/admission/hmac.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { keepUnchanged, type Live } from '../../shared/base/live.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { Storing } from '../../shared/base/storage-faults.ts';
import { countedBy } from '../../shared/ca/counted-by.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { trailKeyFile } from '../../shared/config/trail.ts';
import { INVENTORY, openProjection } from '../../shared/inventory/project.ts';
import { type InventoryWriter, openInventoryWriter } from '../../shared/inventory/writer.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { RepeatedTask } from '../../shared/queue/schedule.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openNewestIndex } from '../../shared/renewal/newest-index.ts';
import {
  type ManagedCertificate,
  openRenewalIndex,
  type RenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { openUnstored } from '../../shared/renewal/unstored.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { openTrail } from '../../shared/trail/trail.ts';
import { openTrailDrain } from './drain-trail.ts';
import { expireStorage } from './expire-storage.ts';
import { indexStorage } from './index-storage.ts';
import { findIssuer } from './poll-renewal-info.ts';
import { renewDue } from './renew-due.ts';
import { lookAtStored, type RenewalParts } from './renew-stored.ts';
import { storeUnstored } from './store-unstored.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/**
 * A task that this process can do. It is safe to repeat, and rejects with the signal's reason when that
 * fires.
 */
export type Task = RepeatedTask & { run(signal: AbortSignal): Promise<void> };

/** What stays while the configuration changes. */
type Lasting = {
  store: Store;
  seals: Seals;
  signQueue: SignQueue;
  notices: Notices;
  /** By the names of their accounts. */
  cas: ReadonlyMap<string, Ca>;
  storing: Storing;
  /** When shaman profiles are renewed that say nothing of it, as a cron pattern. */
  usualSchedule: string;
  clock: Clock;
  log: Log;
};

/**
 * Makes of each configuration that is handed in all that the scheduler does by it. What makes orders for
 * shaman profiles is loaded where there are any, pkijs and the DNS updates with it. Storages that are the
 * same in two of them keep what they have read.
 *
 * @param trail what becomes of the trail's events; only how long files are kept may change
 * @param first the configuration that the role was started with
 */
export function openTasks(
  lasting: Lasting,
  trail: Live<Config['trail']>,
  first: Config,
): (config: Config) => Promise<Task[]> {
  const { store, clock, log } = lasting;
  const keepStorages = keepUnchanged((config: StorageConfig) =>
    openStorages([config], lasting).get(config.name),
  );
  const index = openRenewalIndex(store, error =>
    log.error({ reason: describeError(error) }, 'a renewal cannot be read'),
  );
  const inventory = openInventoryWriter(store, error =>
    log.error({ reason: describeError(error) }, 'the inventory of a certificate cannot be read'),
  );
  const consumers = [{ name: INVENTORY, take: openProjection(inventory, log) }];
  const drain = openTrailDrain({ ...lasting, trail, keyFile: trailKeyFile(first), consumers });
  const always = [
    every(5 * SECOND, 'trail', first.trail.dir ?? '', drain),
    every(MINUTE, 'expire-inventory', '', async signal => {
      await inventory.dropEnded(clock.now(), signal);
    }),
  ];

  return async config => {
    const parts = { ...lasting, cas: countedBy(config.accounts, lasting.cas, lasting), index };
    const { keeping, tasks } = openStorageTasks(config, keepStorages(config.storages.values()), {
      ...parts,
      inventory,
    });
    const renew = openRenewTask(config, { ...parts, keeping });
    if (config.renewals.length === 0) return [renew, ...tasks, ...always];
    const { openProfileTasks } = await import('./profile-tasks.ts');
    return [renew, ...tasks, ...always, ...(await openProfileTasks(config, parts))];
  };
}

type Keeping = RenewalParts['storages'];

/** The upkeep of each storage that keeps certificates. */
function openStorageTasks(
  config: Config,
  storages: ReadonlyMap<string, Storage>,
  parts: Lasting & { index: RenewalIndex; inventory: InventoryWriter },
): { keeping: Keeping; tasks: Task[] } {
  const { store, seals, index, inventory, notices, clock, log } = parts;
  const expiry = openExpiryIndex(store);
  const renewals = openStoredRenewals(config.storages, store);
  const unstored = openUnstored(config.storages, store, seals, clock);
  const found = { store, expiry, renewals, index, inventory, clock, log };
  const keeping: Keeping = new Map();
  const tasks: Task[] = [];
  for (const storageConfig of config.storages.values()) {
    const storage = storages.get(storageConfig.name);
    if (!storage?.upkeep || storageConfig.type === 'none') continue;
    const { name, keepExpired, renewAhead, renewWithin } = storageConfig;
    const purpose = `${renewAhead ? 'renewal' : 'watch'} inventory`;
    keeping.set(name, { storage, renewWithin, renewAhead });
    tasks.push(
      // Planned anew where what is to be found has changed.
      every(24 * HOUR, `index/${name}`, purpose, async signal => {
        await indexStorage(storage, purpose, found, signal);
      }),
      every(MINUTE, `expire/${name}`, '', async signal => {
        await storeUnstored({ unstored, renewals, notices, clock, log }, storage, signal);
        await expireStorage(storage, keepExpired, { expiry, clock, log }, signal);
      }),
    );
  }
  return { keeping, tasks };
}

/** A look at every certificate that is due for one. */
function openRenewTask(
  config: Config,
  { keeping, ...parts }: Lasting & { index: RenewalIndex; keeping: Keeping },
): Task {
  const { store, seals } = parts;
  const cas = [...parts.cas.values()];
  const renewalParts: RenewalParts = {
    ...parts,
    caOf: issuedBy => findIssuer(cas, issuedBy),
    newest: openNewestIndex(store),
    storages: keeping,
    admission: openAdmission(config.auth),
    records: openSignRecords(store, seals),
    trail: openTrail(store),
  };
  return every(10 * SECOND, 'renew', '', async signal => {
    const look = async (managed: ManagedCertificate) => {
      if (!managed.id.startsWith('profile/')) return await lookAtStored(renewalParts, managed, signal);
      const { lookAtProfile } = await import('./renew-profiles.ts');
      await lookAtProfile(renewalParts, config.renewals, managed);
    };
    await renewDue(renewalParts, look, signal);
  });
}

/** At times that differ from task to task, but not from scheduler to scheduler. */
function every(interval: number, name: string, what: string, run: Task['run']): Task {
  const offset = Number.parseInt(hash('sha256', name).slice(0, 8), 16) % interval;
  return {
    name,
    rule: `every ${interval / SECOND} seconds ${what}`.trim(),
    next: now => (Math.floor((now - offset) / interval) + 1) * interval + offset,
    run,
  };
}
