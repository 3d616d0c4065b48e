import { parseNumber, runScript, type Store, toScript } from '../base/redis.ts';

/** Failures in a row, within `WINDOW` milliseconds of the first, that open the breaker. */
const MOST_FAILURES = 3;
const WINDOW = 60_000;
/** Milliseconds until the first probe; each probe that fails doubles the pause. */
const FIRST_PAUSE = 10_000;
const LONGEST_PAUSE = 300_000;
/** Milliseconds that a probe has to report before another is let through. */
const PROBE_LIFE = 60_000;
/** Milliseconds without any word after which a breaker is forgotten. */
const LIFE = 24 * 3_600_000;

/**
 * Whether a CA can be reached, as the whole fleet has found: open after three failures in a row, and closed
 * by the first answer. While it is open one order at a time probes the CA; the others go elsewhere.
 */
export type Breaker = {
  /** Whether there may be failures to forget: an answer of a healthy CA is to cost no command. */
  readonly suspected: boolean;
  /** `probe`: the caller alone is to try, and to report; `open`: it is not to try. */
  admit(): Promise<'closed' | 'probe' | 'open'>;
  /** @param reason one line @returns whether this failure has opened it */
  failed(reason: string): Promise<boolean>;
  /** Of use only where it is `suspected`. @returns whether this answer has closed it */
  answered(): Promise<boolean>;
  /** @returns when it was opened (milliseconds since the epoch) and by what; `undefined` while closed */
  opened(): Promise<{ since: number; reason: string } | undefined>;
};

// The breaker is one hash: `failures` in a row and the time of the `first`, or `since`, `reason`, the time of
// the next `probe` and the `pause` after it. Redis's own clock counts, as machines' clocks differ.
const NOW = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS: the breaker. ARGV: how long a probe has, the longest pause. Answers the state, 1 if any is known. */
const ADMIT = toScript(`${NOW}
local probe = redis.call('HGET', KEYS[1], 'probe')
if not probe then return {'closed', redis.call('EXISTS', KEYS[1])} end
if now < tonumber(probe) and probe - now <= tonumber(ARGV[2]) then return {'open', 1} end
redis.call('HSET', KEYS[1], 'probe', now + ARGV[1], 'probing', '1')
return {'probe', 1}`);

/** KEYS: the breaker. ARGV: most failures, window, first pause, longest pause, life, reason. 1: it opens. */
const FAILED = toScript(`${NOW}
local key = KEYS[1]
if redis.call('HEXISTS', key, 'since') == 1 then
  if redis.call('HDEL', key, 'probing') == 1 then
    local pause = math.min(2 * redis.call('HGET', key, 'pause'), ARGV[4])
    redis.call('HSET', key, 'pause', pause, 'probe', now + pause, 'reason', ARGV[6])
  end
  return 0
end
local first = tonumber(redis.call('HGET', key, 'first') or now)
local failures = 1 + (redis.call('HGET', key, 'failures') or 0)
if now - first > tonumber(ARGV[2]) then first, failures = now, 1 end
if failures < tonumber(ARGV[1]) then
  redis.call('HSET', key, 'first', first, 'failures', failures)
  redis.call('PEXPIRE', key, ARGV[2])
  return 0
end
redis.call('DEL', key)
redis.call('HSET', key, 'since', now, 'probe', now + ARGV[3], 'pause', ARGV[3], 'reason', ARGV[6])
redis.call('PEXPIRE', key, ARGV[5])
return 1`);

/** KEYS: the breaker. Answers 1 where it was open. */
const ANSWERED = toScript(`
local open = redis.call('HEXISTS', KEYS[1], 'since')
redis.call('DEL', KEYS[1])
return open`);

/**
 * @param ca as `caOf` names it: accounts at one CA share its breaker
 * @param pauses milliseconds, where a test cannot wait
 */
export function openBreaker(
  { redis, prefix }: Store,
  ca: string,
  pauses = { first: FIRST_PAUSE, longest: LONGEST_PAUSE },
): Breaker {
  const longest = Math.max(pauses.longest, PROBE_LIFE); // a later probe was set by a clock that was ahead
  const key = `${prefix}:breaker:${ca}`;
  const breaker: Breaker & { suspected: boolean } = {
    suspected: false,
    async admit() {
      const [state, known] = (await runScript(redis, ADMIT, [key], [PROBE_LIFE, longest])) as [
        'closed' | 'probe' | 'open',
        number,
      ];
      breaker.suspected ||= known === 1;
      return state;
    },
    async failed(reason) {
      breaker.suspected = true;
      const figures = [MOST_FAILURES, WINDOW, pauses.first, pauses.longest, LIFE, reason];
      return (await runScript(redis, FAILED, [key], figures)) === 1;
    },
    async answered() {
      breaker.suspected = false;
      return (await runScript(redis, ANSWERED, [key], [])) === 1;
    },
    async opened() {
      const [since, reason] = await redis.hmget(key, 'since', 'reason');
      return since ? { since: parseNumber(`${key} since`, since), reason: reason ?? '' } : undefined;
    },
  };
  return breaker;
}
