const LONGEST_WAIT = 14 * 24 * 3_600_000;

/**
 * Reads a Retry-After header in either of its forms (RFC 9110 section 10.2.3): seconds or an HTTP date.
 *
 * @param now milliseconds since the epoch
 * @returns milliseconds since the epoch, never before `now` and never more than two weeks away; `undefined` when absent
 *   or unreadable
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim();
  if (!text) return undefined;
  const at = /^\d+$/.test(text) ? now + Number(text) * 1_000 : Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(at, now), now + LONGEST_WAIT);
}
