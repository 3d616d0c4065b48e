import type { Clock } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import type { Store } from '../base/redis.ts';
import { scanAll } from '../base/scan.ts';
import { type Limit, parkedKey } from './limits.ts';
import { parseParked } from './standing-limit.ts';

/** All that is held back now, by whichever CA. */
export async function listLimits({ redis, prefix }: Store, clock: Clock): Promise<Limit[]> {
  const limits: Limit[] = [];
  const start = parkedKey({ prefix }, '');
  for await (const key of scanAll(redis, start, '*')) {
    const text = await redis.get(key);
    if (!text) continue;
    const { until, detail, names } = parseLimit(key, text);
    if (until !== undefined && until <= clock.now()) continue;
    limits.push({ key: key.slice(start.length), until, detail, names });
  }
  return limits.sort((a, b) => a.key.localeCompare(b.key));
}

/** A damaged one is held back until it is cleared. */
function parseLimit(key: string, text: string): Omit<Limit, 'key'> {
  try {
    return parseParked({ key, text });
  } catch (error) {
    return { detail: describeError(error), names: [] };
  }
}

/**
 * Lets what a key names be tried again.
 *
 * @param key as `listLimits` has it; without its `@ca` it is that of every CA, and failures without their
 *   verification those of every one
 * @returns the keys that were cleared
 */
export async function clearLimit(store: Store, key: string, clock: Clock): Promise<string[]> {
  const found = await listLimits(store, clock);
  const isSet = /^failures\/[0-9a-f]+$/.test(key);
  const meant = found.filter(
    limit =>
      limit.key === key || limit.key.startsWith(`${key}@`) || (isSet && limit.key.startsWith(`${key}/`)),
  );
  for (const limit of meant) await store.redis.del(parkedKey(store, limit.key));
  return meant.map(limit => limit.key);
}
