import { hash } from 'node:crypto';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { Seals } from '../../shared/admission/hmac.ts';
import { type Clock, describeError, type Log } from '../../shared/base/basics.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { Storing } from '../../shared/base/storage-faults.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { trailKeyFile } from '../../shared/config/trail.ts';
import { INVENTORY, openProjection } from '../../shared/inventory/project.ts';
import { openInventoryWriter } from '../../shared/inventory/writer.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { RepeatedTask } from '../../shared/queue/schedule.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openNewestIndex } from '../../shared/renewal/newest-index.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { openTrail } from '../../shared/trail/trail.ts';
import { openTrailDrain } from './drain-trail.ts';
import { expireStorage } from './expire-storage.ts';
import { indexStorage } from './index-storage.ts';
import { findIssuer } from './poll-renewal-info.ts';
import { renewDue } from './renew-due.ts';
import { lookAtStored, type RenewalParts } from './renew-stored.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/**
 * A task that this process can do. It is safe to repeat, and rejects with the signal's reason when that
 * fires.
 */
export type Task = RepeatedTask & { run(signal: AbortSignal): Promise<void> };

type TaskParts = {
  store: Store;
  seals: Seals;
  signQueue: SignQueue;
  notices: Notices;
  /** By the names of their accounts. */
  cas: ReadonlyMap<string, Ca>;
  storing?: Storing;
  clock: Clock;
  log: Log;
};

/**
 * All that the scheduler does, by configuration. What makes orders for shaman profiles is loaded where there
 * are any, pkijs and the DNS updates with it.
 */
export async function openTasks(config: Config, parts: TaskParts): Promise<Task[]> {
  const { store, seals, clock, log } = parts;
  const storages = openStorages(config.storages.values(), parts);
  const expiry = openExpiryIndex(store);
  const renewals = openStoredRenewals(config.storages, store);
  const index = openRenewalIndex(store, error =>
    log.error({ reason: describeError(error) }, 'a renewal cannot be read'),
  );
  const inventory = openInventoryWriter(store, error =>
    log.error({ reason: describeError(error) }, 'the inventory of a certificate cannot be read'),
  );
  const found = { store, expiry, renewals, index, inventory, clock, log };
  const keeping: RenewalParts['storages'] = new Map();
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
        await expireStorage(storage, keepExpired, { expiry, clock, log }, signal);
      }),
    );
  }

  const cas = [...parts.cas.values()];
  const renewalParts: RenewalParts = {
    ...parts,
    caOf: issuedBy => findIssuer(cas, issuedBy),
    index,
    newest: openNewestIndex(store),
    storages: keeping,
    admission: openAdmission(config.auth),
    records: openSignRecords(store, seals),
    trail: openTrail(store),
  };
  const renew = every(10 * SECOND, 'renew', '', async signal => {
    const look = async (managed: ManagedCertificate) => {
      if (!managed.id.startsWith('profile/')) return await lookAtStored(renewalParts, managed, signal);
      const { lookAtProfile } = await import('./renew-profiles.ts');
      await lookAtProfile(renewalParts, config.renewals, managed);
    };
    await renewDue(renewalParts, look, signal);
  });
  const { trail } = config;
  const consumers = [{ name: INVENTORY, take: openProjection(inventory, log) }];
  const drain = openTrailDrain({ ...parts, trail, keyFile: trailKeyFile(config), consumers });
  tasks.push(
    every(5 * SECOND, 'trail', trail.dir ?? '', drain),
    every(MINUTE, 'expire-inventory', '', async signal => {
      await inventory.dropEnded(clock.now(), signal);
    }),
  );
  if (config.renewals.length === 0) return [renew, ...tasks];
  const { openProfileTasks } = await import('./profile-tasks.ts');
  return [renew, ...tasks, ...(await openProfileTasks(config, { ...parts, index }))];
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
