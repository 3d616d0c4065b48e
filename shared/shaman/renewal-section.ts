import { resolve } from 'node:path';
import { CronExpressionParser } from 'cron-parser';
import type { OptionRows } from '../config/option-rows.ts';
import { parseList, parseText } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';

/** A shaman profile that Quarry keeps renewed. */
export type RenewalConfig = {
  name: string;
  /** Where its `shaman.json` lies. Absolute. */
  directory: string;
  /** A cron pattern in UTC; absent: twice a day, at a minute of the installation's own. */
  schedule?: string;
  /** In the order of preference; empty where the profile's own account orders, at its own `server`. */
  accounts: string[];
  /** For domains without authenticators, in the order of preference. */
  verifications: string[];
};

/** What the options `account` and `verification` may name, and what stands in for the latter. */
type RenewalReferences = {
  account: Parse<string>;
  verification: Parse<string>;
  defaultVerification(): string | undefined;
};

/** Of `[renewal "name"]`. */
export const renewalRows: OptionRows = {
  'shaman-profile': {
    meaning:
      'directory of a `shaman.json` to [keep renewed](services/docs/renewals.md); a relative one starts at this file',
    otherwise: 'needed',
  },
  schedule: {
    meaning: 'cron pattern in UTC: minute, hour, day of the month, month, day of the week',
    otherwise: 'twice a day',
  },
  verification: {
    meaning: 'for domains without authenticators: names of such blocks, in the order of preference',
    otherwise: 'the default',
  },
  account: {
    meaning: '[accounts](services/docs/cas.md) to order from, in the order of preference',
    otherwise: "the profile's own, at its `server`",
  },
};

/** `[renewal "name"]` */
export function parseRenewal(section: SectionReader, references: RenewalReferences): RenewalConfig {
  const directory = section.one('shaman-profile', parseText);
  const schedule = section.one('schedule', parseCron);
  const accounts = section.many('account', parseList(references.account)).flat();
  const named = section.many('verification', parseList(references.verification)).flat();
  section.finish();
  if (directory === undefined) return section.fail('is missing', 'shaman-profile');
  const standing = named.length > 0 ? undefined : references.defaultVerification();
  return {
    name: section.label,
    directory: resolve(section.folder, directory),
    ...(schedule !== undefined && { schedule }),
    accounts: [...new Set(accounts)],
    verifications: standing === undefined ? [...new Set(named)] : [standing],
  };
}

const cronForm =
  'is not a pattern such as "30 4,16 * * *": minute, hour, day of the month, month, day of the week';

/** A cron pattern of five fields, in UTC, that comes true some day. */
const parseCron: Parse<string> = (text, fail) => {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 5) return fail(cronForm);
  const pattern = fields.join(' ');
  try {
    CronExpressionParser.parse(pattern, { tz: 'UTC' });
  } catch {
    return fail(cronForm);
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
