import { hash, randomInt } from 'node:crypto';
import { delimiter } from 'node:path';
import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { Clock } from '../../shared/base/clock.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Redis } from '../../shared/base/redis.ts';
import { nextTime } from '../../shared/config/cron.ts';
import type { Config } from '../../shared/config/load-config.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { openLimits } from '../../shared/limits/limits.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { hastenTask, type RepeatedTask } from '../../shared/queue/schedule.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { type ManagedCertificate, openRenewalIndex, type RenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openShamanFile } from '../../shared/renewal/shaman-file.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { openSolvers } from '../../shared/solver/open-solver.ts';
import { requireSolvers } from '../../shared/solver/require-solvers.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { expireStorage } from './expire-storage.ts';
import { indexStorage } from './index-storage.ts';
import { openProfileGate } from './profile-gate.ts';
import { renewDue } from './renew-due.ts';
import { lookAtProfile, type ProfileParts, renewProfile } from './renew-profiles.ts';
import { lookAtStored, type RenewalParts } from './renew-stored.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A task that this process can do. It is safe to repeat, and rejects with the signal's reason when that fires. */
export type Task = RepeatedTask & { run(signal: AbortSignal): Promise<void> };

export type TaskParts = {
  redis: Redis;
  connection: CaConnection;
  signQueue: SignQueue;
  notices: Notices;
  /** PEM certificates of the authorities that the CA's own HTTPS is checked with, in place of the system's. */
  ca: string[] | undefined;
  clock: Clock;
  log: Log;
};

/** All that the scheduler does, by configuration. */
export async function openTasks(config: Config, parts: TaskParts): Promise<Task[]> {
  const { redis, clock, log } = parts;
  const { prefix } = config.redis;
  const storages = openStorages(config.storages.values(), { redis, prefix, clock, log });
  const expiry = openExpiryIndex(redis, prefix);
  const renewals = openStoredRenewals(config.storages, { redis, prefix });
  const renewing: RenewalParts['storages'] = new Map();
  const tasks: Task[] = [];

  for (const storageConfig of config.storages.values()) {
    const storage = storages.get(storageConfig.name);
    if (!storage?.upkeep || storageConfig.type === 'none') continue;
    const { name, keepExpired, renewAhead, renewWithin } = storageConfig;
    const purpose = renewAhead ? 'renewal' : 'expiry';
    if (renewAhead) renewing.set(name, { storage, days: renewWithin });
    tasks.push(
      // Planned anew where what is to be found has changed.
      every(24 * HOUR, `index/${name}`, purpose, async signal => {
        await indexStorage(storage, purpose, { redis, prefix, expiry, renewals, clock, log }, signal);
      }),
      every(MINUTE, `expire/${name}`, '', async signal => {
        await expireStorage(storage, keepExpired, { expiry, clock, log }, signal);
      }),
    );
  }

  const index = openRenewalIndex(redis, prefix);
  const renewalParts: RenewalParts = {
    ...{ ...parts, index, renewals, storages: renewing },
    ...{ admission: openAdmission(config.auth), records: openSignRecords(redis, prefix), account: config.account.name },
  };
  const renew = every(10 * SECOND, 'renew', '', async signal => {
    const look = (managed: ManagedCertificate) =>
      managed.id.startsWith('profile/')
        ? lookAtProfile(renewalParts, config.renewals, managed)
        : lookAtStored(renewalParts, managed, signal);
    await renewDue(renewalParts, look, signal);
  });
  return [renew, ...tasks, ...(await openProfileTasks(config, { ...parts, index }))];
}

async function openProfileTasks(config: Config, parts: TaskParts & { index: RenewalIndex }): Promise<Task[]> {
  const { redis, clock, log, ca } = parts;
  const { prefix } = config.redis;
  if (config.renewals.length === 0) return [];
  const used = new Set(config.renewals.flatMap(({ verifications }) => verifications));
  const verifications = [...config.verifications.values()].filter(({ name }) => used.has(name));
  requireSolvers(verifications); // before the first run needs them
  const limits = openLimits(redis, prefix, clock);
  const budget = openBudget(redis, prefix, config.limits, clock);
  const profileParts: ProfileParts = {
    ...parts,
    solvers: openSolvers(verifications, { redis, prefix, clock, log }),
    gateOf: async ({ name, directory }) => {
      const { server } = await openShamanFile(directory).read();
      return server === config.account.acmeServer
        ? openProfileGate(`profile/${name}`, { limits, budget, notices: parts.notices, clock })
        : undefined;
    },
    path: (process.env.PATH ?? '').split(delimiter),
    ca,
  };
  const usual = await ownSchedule(redis, prefix);
  return config.renewals.map(profile => {
    const { name: label, schedule = usual } = profile;
    const name = `profile/${label}`;
    const next = (now: number) => nextTime(schedule, now);
    const run = async (signal: AbortSignal) => {
      const nextRun = next(clock.now());
      try {
        const again = await renewProfile(profileParts, profile, nextRun, signal);
        if (again !== undefined) await hastenTask(redis, prefix, name, again);
      } catch (error) {
        signal.throwIfAborted();
        await hastenTask(redis, prefix, name, Math.min(nextRun, clock.now() + HOUR));
        throw error;
      }
    };
    return { name, rule: `${schedule} ${profile.directory}`, next, run };
  });
}

/** Twice a day, at a minute that is fixed for this installation, and that others do not have. */
async function ownSchedule(redis: Redis, prefix: string): Promise<string> {
  const key = `${prefix}:schedule-minute`;
  await redis.set(key, String(randomInt(12 * 60)), 'NX');
  const minutes = Number(await redis.get(key));
  const hour = Math.floor(minutes / 60);
  return `${minutes % 60} ${hour},${hour + 12} * * *`;
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
