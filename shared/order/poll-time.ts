const FIRST = 250;
const LONGEST = 10_000;

/**
 * When to ask for the order again: when the CA said, else after `first`, then 250 ms, doubling up to 10 s. Where the CA says,
 * never sooner than after 250 ms, as its clock may be behind.
 *
 * @param polls how often it was asked in vain
 * @param first milliseconds, as a PollPace knows them
 * @returns milliseconds since the epoch
 */
export function pollTime(polls: number, retryAfter: number | undefined, now: number, first = FIRST): number {
  if (retryAfter !== undefined) return Math.max(retryAfter, now + FIRST);
  return now + (polls === 0 ? first : Math.min(FIRST * 2 ** (polls - 1), LONGEST));
}
