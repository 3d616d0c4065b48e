import { CronExpressionParser } from 'cron-parser';
import type { Parse } from '../config/section-reader.ts';

const form =
  'is not a pattern such as "30 4,16 * * *": minute, hour, day of the month, month, day of the week';

/** A cron pattern of five fields, in UTC, that comes true some day. */
export const parseCron: Parse<string> = (text, fail) => {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 5) return fail(form);
  const pattern = fields.join(' ');
  try {
    CronExpressionParser.parse(pattern, { tz: 'UTC' });
  } catch {
    return fail(form);
  }
  try {
    nextTime(pattern, 0);
    return pattern;
  } catch {
    return fail('never comes true');
  }
};

/** When a pattern comes true next; both in milliseconds since the epoch. */
export function nextTime(pattern: string, after: number): number {
  return CronExpressionParser.parse(pattern, { tz: 'UTC', currentDate: new Date(after) })
    .next()
    .getTime();
}
