import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AcmeConfig, parseAcme } from '../acme-server/acme-section.ts';
import { warnOfShortKeys } from '../acme-server/short-keys.ts';
import { type AuthBlockConfig, type AuthReferences, parseAuth } from '../admission/auth-section.ts';
import { openClientCa } from '../admission/client-ca.ts';
import { divideOrders } from '../admission/order-shares.ts';
import { describeError } from '../base/errors.ts';
import { type AccountConfig, parseAccounts } from '../ca/account-section.ts';
import { type AdminConfig, parseAdmin } from '../config/admin.ts';
import { ConfigError } from '../config/config-error.ts';
import type { Environment } from '../config/environment.ts';
import type { Hidden } from '../config/hidden.ts';
import type { IniSection } from '../config/ini.ts';
import { type LoggingConfig, parseLogging } from '../config/logging.ts';
import { type Defaults, type MgmtConfig, parseMgmt } from '../config/mgmt.ts';
import { readSections } from '../config/read-sections.ts';
import type { Reading, SecretFile } from '../config/reading.ts';
import { parseRedis, type RedisConfig } from '../config/redis.ts';
import { SectionReader } from '../config/section-reader.ts';
import { parseTrail, type TrailConfig } from '../config/trail.ts';
import { parseWorker, type WorkerConfig } from '../config/worker.ts';
import { type NotifyConfig, parseNotify } from '../notify/notify-section.ts';
import type { RenewalConfig } from '../shaman/renewal-section.ts';
import { implicitVerification } from '../solver/http01.ts';
import { parseVerification, type VerificationConfig } from '../solver/kinds.ts';
import { implicitStorage, parseStorage, type StorageConfig } from '../storage/storage-section.ts';
import {
  addImplicit,
  chooseDefault,
  chooseDefaultAccount,
  defaultReferenceTo,
  referenceTo,
} from './references.ts';

/** All that the files say, checked, with every reference resolved. */
export type Config = {
  /** By name, in the order of the files; at least one. */
  accounts: Map<string, AccountConfig>;
  mgmt: MgmtConfig;
  /** The file of the installation's secret; only the roles that need it make it. */
  secretFile: string;
  /** By name; holds an implicit block only when an auth block uses it. */
  verifications: Map<string, VerificationConfig>;
  storages: Map<string, StorageConfig>;
  renewals: RenewalConfig[];
  /** In the order in which they are tried. */
  auth: AuthBlockConfig[];
  logging: LoggingConfig;
  redis: RedisConfig;
  worker: WorkerConfig;
  admin: AdminConfig;
  acme: AcmeConfig;
  trail: TrailConfig;
  notify: NotifyConfig[];
  /** One line each, with file and line; the caller logs them. */
  warnings: string[];
  /** What came in by `${env:NAME}`, `${credential:NAME}` and from files of secrets: no output repeats it. */
  hidden: Hidden[];
  /** Which files hold secrets, by the options of the sections; the same file may be here several times. */
  secretFiles: SecretFile[];
};

/**
 * Reads the files as one configuration; of a folder those in it.
 *
 * @param need a responder needs neither accounts nor auth blocks
 * @param env REDIS_URL, ACME_CAFILE, QUARRY_LOG, HTTPS_PROXY and NO_PROXY are read from it
 * @throws ConfigError with one line that names file, line, section and option
 */
export async function loadConfig(
  files: string[],
  env: Environment,
  need: 'all' | 'responder' = 'all',
): Promise<Config> {
  const sections = await readSections(files);
  const file = files[0] ?? '';
  const reading: Reading = { env, warnings: [], hidden: [], secretFiles: [] };
  const all = (name: string) =>
    sections.filter(section => section.name === name).map(section => new SectionReader(section, reading));
  const optional = (name: string) => all(name)[0] ?? new SectionReader(absent(name, file), reading);

  const accounts = parseAccounts({ accounts: all('account'), limits: all('limits') }, env);
  const [firstAccount] = accounts.values();
  if (!firstAccount && need === 'all') return missing(file, 'account', 'is missing; its dir is needed');
  const verifications = byName(all('verification').map(parseVerification));
  const storages = byName(all('storage').map(parseStorage));
  const mgmtSection = optional('mgmt');
  const { mgmt, secretFile, defaults } = parseMgmt(mgmtSection, {
    verification: defaultReferenceTo(verifications, 'verification'),
    storage: defaultReferenceTo(storages, 'storage', unwrittenStorage(storages)),
    account: referenceTo(accounts, 'account'),
  });
  if (mgmt.clientCaFile !== undefined) checkClientCa(mgmtSection, mgmt.clientCaFile);
  const references = {
    ...createReferences({ accounts, verifications, storages }, defaults),
    asksForCertificates: mgmt.clientCaFile !== undefined,
  };
  const acme = parseAcme(optional('acme'));
  const blocks = all('auth').map(section => parseAuth(section, references));
  if (acme.url !== undefined) for (const { section, block } of blocks) warnOfShortKeys(section, block);
  const auth = divideOrders(blocks);
  if (auth.length === 0 && need === 'all')
    missing(file, 'auth', 'no auth block is defined, so no client could get a certificate');

  return {
    accounts,
    mgmt,
    secretFile: secretFile ?? join(firstAccount?.dir ?? '', 'installation.key'),
    verifications,
    storages,
    auth,
    renewals: await parseRenewals(all('renewal'), references),
    logging: parseLogging(optional('logging'), env),
    redis: parseRedis(optional('redis'), env),
    worker: parseWorker(optional('worker')),
    admin: parseAdmin(optional('admin')),
    acme,
    trail: parseTrail(optional('trail')),
    notify: all('notify').map(section => parseNotify(section, env)),
    warnings: reading.warnings,
    hidden: reading.hidden,
    secretFiles: reading.secretFiles,
  };
}

function checkClientCa(section: SectionReader, file: string): void {
  try {
    openClientCa(readFileSync(file, 'utf8'));
  } catch (error) {
    section.fail(`${file} cannot be used: ${describeError(error)}`, 'client-ca');
  }
}

/** Cron patterns need a library, which whoever has none of these sections need not load. */
async function parseRenewals(
  sections: SectionReader[],
  references: AuthReferences,
): Promise<RenewalConfig[]> {
  if (sections.length === 0) return [];
  const { parseRenewal } = await import('../shaman/renewal-section.ts');
  return sections.map(section => parseRenewal(section, references));
}

function absent(name: string, file: string): IniSection {
  return { name, file, line: 0, options: [] };
}

function missing(file: string, name: string, reason: string): never {
  throw new ConfigError({ file, section: { name } }, reason);
}

function byName<T extends { name: string }>(blocks: T[]): Map<string, T> {
  return new Map(blocks.map(block => [block.name, block]));
}

/** macen's name of the verification that stands in where there is none, or none of several is the default. */
const MACEN_IMPLICIT_VERIFICATION = 'http';

/** A storage that keeps nothing needs no block. */
const unwrittenStorage = (storages: Map<string, StorageConfig>) => (name: string) =>
  name === implicitStorage.name ? addImplicit(storages, implicitStorage) : undefined;

/** What an auth block may name is fixed here, before a default adds an implicit block. */
function createReferences(
  { accounts, verifications, storages }: Pick<Config, 'accounts' | 'verifications' | 'storages'>,
  defaults: Defaults,
): Omit<AuthReferences, 'asksForCertificates'> {
  const { verification, storage } = defaults;
  const standsAlone = verification === undefined && verifications.size !== 1;
  const unwrittenVerification = (name: string) =>
    standsAlone && name === MACEN_IMPLICIT_VERIFICATION
      ? addImplicit(verifications, implicitVerification)
      : undefined;
  return {
    account: referenceTo(accounts, 'account'),
    accountNames: [...accounts.keys()],
    anyKeyAccounts: new Set([...accounts.values()].filter(({ anyKey }) => anyKey).map(({ name }) => name)),
    defaultAccounts: defaults.accounts.length > 0 ? defaults.accounts : chooseDefaultAccount(accounts),
    verification: referenceTo(new Map(verifications), 'verification', unwrittenVerification),
    storage: referenceTo(new Map(storages), 'storage', unwrittenStorage(storages)),
    challengeOf: name => (verifications.get(name) ?? implicitVerification).challenge,
    defaultVerification: () =>
      verification === false
        ? undefined
        : chooseDefault<VerificationConfig>(verification, verifications, implicitVerification),
    defaultStorage: () => (storage === false ? undefined : chooseDefault(storage, storages, implicitStorage)),
  };
}
