import { hash } from 'node:crypto';
import type { Clock } from '../../shared/base/clock.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Redis } from '../../shared/base/redis.ts';
import type { Config } from '../../shared/config/load-config.ts';
import type { RepeatedTask } from '../../shared/queue/schedule.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { expireStorage } from './expire-storage.ts';
import { indexStorage } from './index-storage.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A task that this process can do. It is safe to repeat, and rejects with the signal's reason when that fires. */
export type Task = RepeatedTask & { run(signal: AbortSignal): Promise<void> };

/** All that the scheduler does, by configuration. */
export function openTasks(config: Config, parts: { redis: Redis; clock: Clock; log: Log }): Task[] {
  const { redis, clock, log } = parts;
  const { prefix } = config.redis;
  const storages = openStorages(config.storages.values(), { redis, prefix, clock, log });
  const expiry = openExpiryIndex(redis, prefix);
  const renewals = openStoredRenewals(config.storages, { redis, prefix });

  return [...config.storages.values()].flatMap(storageConfig => {
    const storage = storages.get(storageConfig.name);
    if (!storage?.upkeep || storageConfig.type === 'none') return [];
    const { name, keepExpired } = storageConfig;
    return [
      every(24 * HOUR, `index/${name}`, async signal => {
        await indexStorage(storage, { redis, prefix, expiry, renewals, clock, log }, signal);
      }),
      every(MINUTE, `expire/${name}`, async signal => {
        await expireStorage(storage, keepExpired, { expiry, clock, log }, signal);
      }),
    ];
  });
}

/** At times that differ from task to task, but not from scheduler to scheduler. */
function every(interval: number, name: string, run: Task['run']): Task {
  const offset = Number.parseInt(hash('sha256', name).slice(0, 8), 16) % interval;
  return {
    name,
    rule: `every ${interval / MINUTE} minutes`,
    next: now => (Math.floor((now - offset) / interval) + 1) * interval + offset,
    run,
  };
}
