import { runScript, type Store, toScript } from '../base/redis.ts';
import { scanPart } from '../base/scan.ts';

// What a clock of Redis that was ahead leaves behind when it is set right: it would keep jobs, names and CAs
// waiting for as long as it was ahead.

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;

/**
 * `shorten`: it lives for as long as it may from now on. `drop`: what it says is a time of that clock, and
 * the CA, or the next request, says it again.
 */
type Rule = { names: string; longest: number; act: 'shorten' | 'drop' };

/** These live for as long as a limit counts, which files say. */
const BUDGETS = 'budget:*';

const QUEUES = ['sign', 'revoke', 'acme-jobs', 'schedule', 'notify'];

/** How long keys live at most; names as `redis-uses.ts` has them. */
const rules: Rule[] = [
  // a lock outlives its worker by seconds, and stands for a job that nobody has
  ...QUEUES.flatMap((queue): Rule[] =>
    ['*:lock', 'stalled-check'].map(names => ({
      ...{ names: `${queue}:${names}`, longest: 10 * SECOND, act: 'shorten' },
    })),
  ),
  { names: 'flight:*', longest: 65 * 60 * SECOND, act: 'shorten' },
  { names: 'checkpoint:*', longest: 7 * DAY, act: 'shorten' },
  { names: 'promise:*', longest: DAY, act: 'shorten' },
  { names: 'result:*', longest: DAY, act: 'shorten' },
  { names: 'told:*', longest: 30 * DAY, act: 'shorten' },
  { names: 'acme:nonce:*', longest: 65 * 60 * SECOND, act: 'shorten' },
  // it says when orders end, and has their client's account wait for that
  { names: 'acme:unfinished:*', longest: DAY, act: 'drop' },
  { names: 'renewals:newest:*', longest: 400 * DAY, act: 'shorten' },
  { names: 'limit:*', longest: 31 * DAY, act: 'drop' },
  { names: 'limit-met:*', longest: 31 * DAY, act: 'drop' },
  { names: 'failed-orders:*', longest: DAY, act: 'drop' },
  { names: 'failed-clients:*', longest: DAY, act: 'drop' },
  { names: BUDGETS, longest: 31 * DAY, act: 'drop' },
  { names: 'breaker:*', longest: DAY, act: 'drop' },
];

/** The keys whose lives are looked at. */
export const drawnBackNames = rules.map(({ names }) => names);

const patterns = rules.map(rule => ({
  ...rule,
  pattern: new RegExp(`^${rule.names.replaceAll('*', '.*')}$`),
}));

/** Clocks drift, and lives are rounded up. */
const MARGIN = 60 * SECOND;
const PART = 500;

/**
 * Ends early what lives longer than any of its kind may.
 *
 * @param longestPeriod of the limits that are configured, in milliseconds
 * @returns how many keys that were
 */
export async function drawBackLives(
  { redis, prefix }: Store,
  longestPeriod: number,
  signal: AbortSignal,
): Promise<number> {
  const start = `${prefix}:`;
  let count = 0;
  for (let cursor: string | undefined; cursor !== '0'; ) {
    signal.throwIfAborted();
    const [next, keys]: [string, string[]] = await scanPart(
      redis,
      { start, rest: '*', count: PART },
      cursor ?? '0',
    );
    cursor = next;
    const known = keys.flatMap(key => {
      const rule = patterns.find(({ pattern }) => pattern.test(key.slice(start.length)));
      if (!rule) return [];
      const longest = rule.names === BUDGETS ? Math.max(rule.longest, longestPeriod) : rule.longest;
      return [{ ...rule, key, longest }];
    });
    const lives = await Promise.all(known.map(({ key }) => redis.pttl(key)));
    const late = known.filter(({ longest }, at) => (lives[at] ?? 0) > longest + MARGIN);
    await Promise.all(
      late.map(({ key, longest, act }) => (act === 'drop' ? redis.del(key) : redis.pexpire(key, longest))),
    );
    count += late.length;
  }
  return count;
}

/** BullMQ's score is the time times this, and a counter. */
const UNIT = 0x1000;
/** A job that comes back too soon looks, and waits again. */
const LONGEST_DELAY = DAY;

/**
 * KEYS: the delayed jobs. ARGV: what their keys begin with, now, the latest time that is believed. Answers
 * how many were drawn back.
 */
const DRAW_BACK_DELAYED = toScript(`
local latest = string.format('%.0f', ARGV[3] * ${UNIT})
local late = redis.call('ZRANGEBYSCORE', KEYS[1], latest, '+inf', 'LIMIT', 0, ${PART})
for _, id in ipairs(late) do redis.call('ZADD', KEYS[1], string.format('%.0f', ARGV[2] * ${UNIT}), id) end
return #late`);

/** No job was made later than now. KEYS: jobs. ARGV: what their keys begin with, now, how KEYS are read. */
const DRAW_BACK_CREATED = toScript(`
for _, id in ipairs(redis.call(ARGV[3], KEYS[1], 0, -1)) do
  local made = tonumber(redis.call('HGET', ARGV[1] .. id, 'timestamp') or '')
  if made and made > tonumber(ARGV[2]) + ${MARGIN} then redis.call('HSET', ARGV[1] .. id, 'timestamp', ARGV[2]) end
end
return 1`);

const listsOfJobs = { delayed: 'ZRANGE', prioritized: 'ZRANGE', wait: 'LRANGE', active: 'LRANGE' };

/** Has jobs that wait for a time which no job waits for come back now. @returns how many */
export async function drawBackJobs({ redis, prefix }: Store, now: number): Promise<number> {
  let count = 0;
  for (const queue of QUEUES) {
    const jobs = `${prefix}:${queue}:`;
    for (;;) {
      const part = await runScript(
        redis,
        DRAW_BACK_DELAYED,
        [`${jobs}delayed`],
        [jobs, now, now + LONGEST_DELAY],
      );
      count += Number(part);
      if (Number(part) < PART) break;
    }
    for (const [list, how] of Object.entries(listsOfJobs))
      await runScript(redis, DRAW_BACK_CREATED, [`${jobs}${list}`], [jobs, now, how]);
  }
  return count;
}
