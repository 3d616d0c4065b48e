import { readFile } from 'node:fs/promises';
import { openCaConnection, readDirectory } from '../../shared/acme/connection.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openLog } from '../../shared/base/log.ts';
import { USER_AGENT } from '../../shared/base/version.ts';
import { readAccountUrl } from '../../shared/ca/account-directory.ts';
import type { AccountConfig } from '../../shared/ca/account-section.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import type { DnsPersistConfig } from '../../shared/solver/dns-persist.ts';
import type { VerificationConfig } from '../../shared/solver/kinds.ts';
import { toPersistRecord } from '../../shared/solver/persist-record.ts';

const PATIENCE = 5_000;

/**
 * The parties that records of dns-persist-01 name; what could not be found out is absent, and `gaps` says
 * why.
 */
type PersistParties = { accountUrl?: string | undefined; issuer?: string | undefined; gaps: string[] };

/**
 * From the account's directory on this machine, and from the CA where the configuration does not name the
 * issuer.
 */
export async function findPersistParties(
  { issuer }: DnsPersistConfig,
  account: AccountConfig,
): Promise<PersistParties> {
  const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
  const accountUrl = await readAccountUrl(account.dir, log);
  const gaps =
    accountUrl === undefined ? [`ACCOUNT: ${account.dir} holds no account yet; a worker makes it`] : [];
  if (issuer !== undefined) return { accountUrl, issuer, gaps };
  try {
    return { accountUrl, issuer: await askForIssuer(account), gaps };
  } catch (error) {
    return {
      accountUrl,
      gaps: [...gaps, `ISSUER: not known (${describeError(error)}); the option issuer names it`],
    };
  }
}

/** RFC 8555 section 7.1.1; the draft says that each of the names will do. */
async function askForIssuer({ acmeServer: directoryUrl, caFile, proxy }: AccountConfig): Promise<string> {
  const ca = caFile ? [await readFile(caFile, 'utf8')] : undefined;
  using connection = openCaConnection({ directoryUrl, userAgent: USER_AGENT, clock: systemClock, ca, proxy });
  const { caaIdentities } = await readDirectory(connection, AbortSignal.timeout(PATIENCE));
  const [issuer] = caaIdentities;
  if (issuer !== undefined) return issuer;
  throw new Error(`the directory of ${directoryUrl} names none`);
}

/** Whether what proves its names stands in the DNS for good, and is not presented by Quarry. */
export const isPersistent = (verification: VerificationConfig): verification is DnsPersistConfig =>
  verification.challenge === 'dns-persist-01';

/**
 * The TXT records that have to be published for the verifications of type dns-persist-01, and what of them is
 * not known yet.
 */
export async function describePersistRecords(config: Config): Promise<string[]> {
  const lines: string[] = [];
  for (const verification of config.verifications.values()) {
    if (!isPersistent(verification)) continue;
    for (const account of accountsOf(verification.name, config)) {
      lines.push(...(await describeRecordsOf(verification, account, config)), '');
    }
  }
  return lines;
}

async function describeRecordsOf(
  verification: DnsPersistConfig,
  account: AccountConfig,
  config: Config,
): Promise<string[]> {
  const { accountUrl = 'ACCOUNT', issuer = 'ISSUER', gaps } = await findPersistParties(verification, account);
  const toLine = (value: string) => {
    const record = toPersistRecord({ type: 'dns', value }, issuer, accountUrl);
    return `  ${record.name} TXT "${record.value}"`;
  };
  const { names, globs } = namesToPublish(verification.name, account.name, config);
  const ofAccount = config.accounts.size > 1 ? ` and account "${account.name}"` : '';
  return [
    `TXT records to publish for verification "${verification.name}"${ofAccount}:`,
    ...names.map(toLine),
    ...(globs.length > 0 ? [`${toLine('NAME')}, for each NAME of ${globs.join(', ')}`] : []),
    ...gaps.map(gap => `  ${gap}`),
  ];
}

/**
 * The accounts that order names which are proven by a verification; all of them where no auth block has it.
 */
export function accountsOf(verification: string, { auth, accounts }: Config): AccountConfig[] {
  const blocks = auth.filter(block => block.verifications.includes(verification));
  const used = new Set(blocks.flatMap(block => block.accounts.map(({ account }) => account)));
  return [...accounts.values()].filter(({ name }) => used.size === 0 || used.has(name));
}

/**
 * The names of a verification whose records for an account can be told: those that are written out, and
 * wildcards, which prove their base name too. A record is looked for at the very name, so that of the globs'
 * other names each needs its own.
 */
export function namesToPublish(
  verification: string,
  account: string,
  { auth }: Config,
): { names: string[]; globs: string[] } {
  const domains = auth
    .filter(block => block.verifications.includes(verification))
    .filter(block => block.accounts.some(choice => choice.account === account))
    .flatMap(({ domains }) => domains);
  const all = [...new Set(domains.map(domain => domain.toLowerCase()))];
  const told = all.filter(domain => /^(\*\.)?[a-z0-9._-]+$/.test(domain));
  return {
    names: told.filter(name => name.startsWith('*.') || !told.includes(`*.${name}`)),
    globs: all.filter(domain => /[*?[]/.test(domain)),
  };
}
