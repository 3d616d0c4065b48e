const LONGEST_WAIT = 14 * 24 * 3_600_000;

/** The three forms of RFC 9110 section 5.6.7. Date.parse alone would read `-5` and `1.5` as dates too. */
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w -]+ \d\d:\d\d:\d\d( GMT| \d{4})$/;

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
  const at = /^\d+$/.test(text) ? now + Number(text) * 1_000 : parseDate(text);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(at, now), now + LONGEST_WAIT);
}

/** The oldest form names no zone, but is in GMT as the others are. */
function parseDate(text: string): number {
  if (!httpDate.test(text)) return Number.NaN;
  return Date.parse(text.endsWith(' GMT') ? text : `${text} GMT`);
}
