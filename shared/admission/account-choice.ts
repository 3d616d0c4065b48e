import type { Parse, SectionReader } from '../config/section-reader.ts';

/** An account that certificates may be ordered from, and what is wanted of its CA. */
export type AccountChoice = {
  account: string;
  certificateProfile?: string;
  preferredChain?: string;
  /**
   * A plain `certificate-profile` applies where that CA offers it; one that is given for this account by name
   * must be offered.
   */
  profileIfOffered?: true;
  /** Its CA also takes keys and signatures that public CAs do not. */
  anyKey?: true;
};

/** What the option `account` may name, and what stands in for it. */
export type AccountReferences = {
  account: Parse<string>;
  /** The names of all accounts. */
  accountNames: readonly string[];
  /** In the order of preference; empty where no account is the default. */
  defaultAccounts: readonly string[];
  /** Those with `keys = any`. */
  anyKeyAccounts: ReadonlySet<string>;
};

/**
 * The accounts that a section names, or those that stand in for them, each once and in the order of
 * preference.
 */
export function chooseAccounts(
  section: SectionReader,
  named: readonly string[],
  { accountNames, defaultAccounts }: AccountReferences,
): string[] {
  const chosen = named.length > 0 ? named : defaultAccounts;
  if (chosen.length > 0) return [...new Set(chosen)];
  const all = accountNames.join(', ');
  return section.fail(
    `is missing, and no account is the default: write account = ${all}, or default-account = ${all} in [mgmt]`,
    'account',
  );
}

/** An option that each account of a block may have a value of its own for. */
type PerAccount = { plain: string } | { byAccount: ReadonlyMap<string, string> };

/**
 * `default:shortlived, zerossl:tls`, or one plain value for all accounts. A value may hold commas, and a
 * plain one colons too, but where an account's name stands before the colon.
 */
export function parsePerAccount(accountNames: readonly string[]): Parse<PerAccount> {
  const names = accountNames.join('|');
  const start = new RegExp(`^(${names}):`);
  const next = new RegExp(`,\\s*(?=(?:${names}):)`);
  return (text, fail) => {
    if (text === '') return fail('is empty');
    const entries = text.split(next);
    if (!start.test(text)) {
      return entries.length === 1
        ? { plain: text }
        : fail('mixes a plain value with those of single accounts');
    }
    const byAccount = new Map<string, string>();
    for (const entry of entries) {
      const [prefix = '', account = ''] = start.exec(entry) ?? [];
      const value = entry.slice(prefix.length).trim();
      if (value === '') return fail(`has nothing for the account "${account}"`);
      if (byAccount.has(account)) return fail(`names the account "${account}" twice`);
      byAccount.set(account, value);
    }
    return { byAccount };
  };
}

/** As `parsePerAccount`, for values that hold no commas: what follows one has to begin with an account. */
export function parseWordPerAccount(accountNames: readonly string[]): Parse<PerAccount> {
  const parse = parsePerAccount(accountNames);
  return (text, fail) => {
    const read = parse(text, fail);
    const mixed = 'byAccount' in read && [...read.byAccount.values()].find(value => value.includes(','));
    return mixed ? fail(`needs an account before each value: ${mixed}`) : read;
  };
}

/**
 * @param accounts in the order of preference
 * @throws ConfigError where an option has a value for an account that is not among them
 */
export function toAccountChoices(
  section: SectionReader,
  accounts: readonly string[],
  wanted: { 'certificate-profile': PerAccount | undefined; 'preferred-chain': PerAccount | undefined },
  { anyKeyAccounts }: Pick<AccountReferences, 'anyKeyAccounts'>,
): AccountChoice[] {
  for (const [option, value] of Object.entries(wanted)) refuseOthers(section, option, value, accounts);
  const profile = wanted['certificate-profile'];
  const ifOffered = profile !== undefined && 'plain' in profile && accounts.length > 1;
  return accounts.map(account => {
    const certificateProfile = valueFor(profile, account);
    const preferredChain = valueFor(wanted['preferred-chain'], account);
    return {
      account,
      ...(certificateProfile !== undefined && { certificateProfile }),
      ...(preferredChain !== undefined && { preferredChain }),
      ...(ifOffered && { profileIfOffered: true }),
      ...(anyKeyAccounts.has(account) && { anyKey: true }),
    };
  });
}

function refuseOthers(
  section: SectionReader,
  option: string,
  value: PerAccount | undefined,
  accounts: readonly string[],
): void {
  const named = value && 'byAccount' in value ? [...value.byAccount.keys()] : [];
  const other = named.find(account => !accounts.includes(account));
  if (other === undefined) return;
  section.fail(
    `has a value for the account "${other}", but the block orders from ${accounts.join(', ')}`,
    option,
  );
}

function valueFor(value: PerAccount | undefined, account: string): string | undefined {
  if (value === undefined) return undefined;
  return 'plain' in value ? value.plain : value.byAccount.get(account);
}
