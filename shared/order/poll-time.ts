const FIRST = 250;
const LONGEST = 10_000;

/**
 * When to ask for the order again: when the CA said, else after 250 ms, doubling up to 10 s. Never sooner than after
 * 250 ms, as the CA's clock may be behind.
 *
 * @param polls how often it was asked in vain
 * @returns milliseconds since the epoch
 */
export function pollTime(polls: number, retryAfter: number | undefined, now: number): number {
  if (retryAfter !== undefined) return Math.max(retryAfter, now + FIRST);
  return now + Math.min(FIRST * 2 ** polls, LONGEST);
}
