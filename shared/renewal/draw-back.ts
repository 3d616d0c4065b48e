import type { Store } from '../base/redis.ts';
import type { ManagedCertificate, RenewalIndex } from './renewal-index.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Longer than a CA is believed that asks for a pause. */
const LONGEST_PAUSE = 15 * DAY;
const PART = 500;
/** The looks that were planned by a clock that was wrong are spread over so long. */
const SPREAD = HOUR / 6;

type Failures = NonNullable<ManagedCertificate['failures']>;

/** What failed was tried at some time, and that has passed, whatever clock told it. */
export function drawBackFailures<Of extends Pick<Failures, 'last' | 'retryAfter'>>(
  failures: Of,
  now: number,
): Of {
  const { last, retryAfter = 0 } = failures;
  if (last <= now && retryAfter <= now + LONGEST_PAUSE) return failures;
  return {
    ...failures,
    last: Math.min(last, now),
    ...(retryAfter > now + LONGEST_PAUSE && { retryAfter: now }),
  };
}

/** A certificate as it can be at most at this time, where a clock that was ahead has written it. */
export function drawBack(managed: ManagedCertificate, now: number): ManagedCertificate {
  const { failures, job } = managed;
  return {
    ...managed,
    ...(failures && { failures: drawBackFailures(failures, now) }),
    ...(job && { job: { ...job, since: Math.min(job.since, now) } }),
  };
}

/**
 * Has looked at soon what is to be looked at later than any look is planned. One look too many costs little.
 *
 * @returns how many
 */
export async function drawBackLooks(
  { redis, prefix }: Store,
  index: Pick<RenewalIndex, 'read' | 'putOff'>,
  now: number,
): Promise<number> {
  let count = 0;
  for (const set of ['due', 'watched']) {
    const key = `${prefix}:renewals:${set}`;
    for (let from: string | undefined = `${now + 2 * DAY}`; from !== undefined; ) {
      const found: string[] = await redis.zrangebyscore(key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, PART);
      const ids = found.filter((_, at) => at % 2 === 0);
      const known = await index.read(ids);
      const late = ids.filter((_, at) => Number(found[2 * at + 1]) > latestLook(known[at], now));
      for (const id of late) await index.putOff([id], now + Math.random() * SPREAD);
      count += late.length;
      from = ids.length < PART ? undefined : `(${found.at(-1)}`;
    }
  }
  return count;
}

/**
 * A CA is asked for its window each day; where it is not asked, no look is planned for later than when the
 * certificate is to be renewed, when a CA that wants a pause has had it, or a day from now.
 */
function latestLook(managed: ManagedCertificate | undefined, now: number): number {
  const renewal = managed && managed.poll === undefined ? Math.min(managed.plan.first, managed.notAfter) : 0;
  const pause = managed?.failures ? (drawBackFailures(managed.failures, now).retryAfter ?? 0) : 0;
  return Math.max(renewal, pause, now) + 2 * DAY;
}
