import type { Redis } from 'ioredis';
import type { Log } from './basics.ts';
import { describeError } from './errors.ts';
import { whyRedisIsAway } from './outages.ts';
import { describeTrouble, judgeRedisError } from './redis-errors.ts';
import { askOnce } from './refusals.ts';

// Whether Redis does what a role needs of it: it may answer, and yet take no writes.

/** Shorter than a probe waits. Milliseconds. */
const LONGEST_LOOK = 800;
const LOOK_AGAIN = 1_000;
/** So often a Redis that was well is looked at where nobody probes, for the log. */
const LOOKS_PER_LOOK_AT_WELL = 5;
const LOOK_LIFE_SECONDS = 10;

/** What is written to find out whether Redis takes writes. */
export const lookKey = (prefix: string) => `${prefix}:look`;

type Look = { error?: unknown; why?: string };

/** @param key to write, where the user may write at all */
async function look(redis: Redis, key: string | undefined): Promise<Look> {
  const why = whyRedisIsAway(redis);
  if (why !== undefined) return { why };
  const late = Promise.withResolvers<Look>();
  const timer = setTimeout(() => late.resolve({ why: 'Redis does not answer' }), LONGEST_LOOK);
  const asked =
    key === undefined
      ? askOnce(redis, 'ping')
      : askOnce(redis, 'set', key, '1', 'EX', `${LOOK_LIFE_SECONDS}`);
  const answered = asked.then(
    () => ({}),
    error => ({ error, why: describeTrouble(judgeRedisError(error)) }),
  );
  return Promise.race([answered, late.promise]).finally(() => clearTimeout(timer));
}

/** Why Redis is of no use now, in a few words; `undefined` where it is well. @param key as `watchHealth` */
export const findFault = async (redis: Redis, key?: string) => (await look(redis, key)).why;

/** How Redis is for a role. */
type Health = Disposable & {
  /** As the last look has found it, or the connection itself. */
  fault(): string | undefined;
  /** Looks anew; while one look is under way, others wait for it. */
  look(): Promise<string | undefined>;
};

/**
 * Keeps looking whether Redis takes writes, and logs once that it refuses them and once that it takes them
 * again.
 *
 * @param key written for a moment by each look; without one, Redis has only to answer
 */
export function watchHealth(redis: Redis, log: Log, key?: string): Health {
  let last: Look = {};
  let refuses = false;
  let looking: Promise<string | undefined> | undefined;
  let looks = 0;

  function note(found: Look): string | undefined {
    last = found;
    const isRefusal = judgeRedisError(found.error)?.kind === 'refuses';
    if (isRefusal && !refuses) log.warn({ reason: describeError(found.error) }, `${found.why}, trying again`);
    if (refuses && found.why === undefined) log.info('Redis takes writes again');
    refuses = isRefusal || (refuses && found.why !== undefined);
    return found.why;
  }

  function lookTogether() {
    looking ??= look(redis, key)
      .then(note)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  }

  const timer = setInterval(() => {
    if (last.why !== undefined || ++looks % LOOKS_PER_LOOK_AT_WELL === 0) void lookTogether();
  }, LOOK_AGAIN).unref();
  // A login that is refused never gets so far as to be looked at.
  let atTheDoor: string | undefined;
  redis.on('error', error => {
    const trouble = judgeRedisError(error);
    atTheDoor = trouble?.kind === 'refuses' ? describeTrouble(trouble) : undefined;
  });
  redis.on('ready', () => {
    atTheDoor = undefined;
    void lookTogether();
  });
  return {
    fault: () => (whyRedisIsAway(redis) && atTheDoor) ?? whyRedisIsAway(redis) ?? last.why,
    look: lookTogether,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
