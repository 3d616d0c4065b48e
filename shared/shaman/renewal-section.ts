import { resolve } from 'node:path';
import { parseList, parseText } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { parseCron } from './cron.ts';

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
