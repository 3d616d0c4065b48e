import { type Redis, runScript, toScript } from '../base/redis.ts';
import type { ScriptRun } from '../base/run-in-turn.ts';

/** KEYS: record. ARGV: what it is, what it is to be, and for how long it is to live at least, or nothing. */
const REPLACE = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
if ARGV[3] and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1`);

/** KEYS: record. ARGV: what it is. */
const UNCHANGED = toScript("return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0");

/** @param leastLife milliseconds that it lives at least from now on; of records that end by themselves */
type Change = { before: string; after: string; leastLife?: number };

/** The script that changes a record, and leaves its life as it is. It answers 1 where nobody was faster. */
export const replacing = (key: string, { before, after, leastLife }: Change): ScriptRun => ({
  ...{ script: REPLACE, keys: [key] },
  args: [before, after, ...(leastLife === undefined ? [] : [leastLife])],
});

/** The script that answers 1 where a record is as it was read. */
export const unchanged = (key: string, text: string): ScriptRun => ({
  ...{ script: UNCHANGED, keys: [key], args: [text] },
});

/** Changes a record that is as it was read. @returns false where somebody was faster */
export async function replaceRecord(redis: Redis, key: string, change: Change): Promise<boolean> {
  const { script, keys, args } = replacing(key, change);
  return (await runScript(redis, script, keys, args)) === 1;
}
