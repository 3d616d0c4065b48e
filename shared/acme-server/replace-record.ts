import { type Redis, runScript, toScript } from '../base/redis.ts';

/** KEYS: record. ARGV: what it is, and what it is to be. */
const REPLACE = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`);

/** Changes a record that is as it was read, and leaves its life. @returns false where somebody was faster */
export async function replaceRecord(
  redis: Redis,
  key: string,
  { before, after }: { before: string; after: string },
): Promise<boolean> {
  return (await runScript(redis, REPLACE, [key], [before, after])) === 1;
}
