import { randomInt } from 'node:crypto';
import { parseNumber, type Store } from '../../shared/base/redis.ts';

/**
 * When shaman profiles are renewed that say nothing of it: twice a day, at a minute that is fixed for this
 * installation, and that others do not have. A cron pattern.
 */
export async function ownSchedule({ redis, prefix }: Store): Promise<string> {
  const key = `${prefix}:schedule-minute`;
  await redis.set(key, String(randomInt(12 * 60)), 'NX');
  const minutes = parseNumber(key, (await redis.get(key)) ?? '');
  const hour = Math.floor(minutes / 60);
  return `${minutes % 60} ${hour},${hour + 12} * * *`;
}
