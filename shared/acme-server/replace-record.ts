import { type Redis, runScript, toScript } from '../base/redis.ts';

/** KEYS: record. ARGV: what it is, what it is to be, and for how long it is to live at least, or nothing. */
const REPLACE = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
if ARGV[3] and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1`);

/**
 * Changes a record that is as it was read, and leaves its life as it is.
 *
 * @param leastLife milliseconds that it is to live at least from now on; of records that end by themselves
 * @returns false where somebody was faster
 */
export async function replaceRecord(
  redis: Redis,
  key: string,
  { before, after, leastLife }: { before: string; after: string; leastLife?: number },
): Promise<boolean> {
  const values = [before, after, ...(leastLife === undefined ? [] : [leastLife])];
  return (await runScript(redis, REPLACE, [key], values)) === 1;
}
