import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { findUnreachable } from '../../shared/admission/unreachable-blocks.ts';
import { describeError } from '../../shared/base/errors.ts';
import { findSecretFault } from '../../shared/base/installation.ts';
import { whereOf } from '../../shared/base/redis-address.ts';
import type { AccountConfig } from '../../shared/ca/account-section.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { hideIn } from '../../shared/config/hidden.ts';
import { formatListener, type Listener } from '../../shared/config/listener.ts';
import { describeProxy } from '../../shared/config/proxy.ts';
import { findPlace } from '../../shared/config/redis-access.ts';
import { describeTrail } from '../../shared/config/trail.ts';
import { describeWay, eventKinds, type NotifyConfig } from '../../shared/notify/notify-section.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { openShamanFile } from '../../shared/shaman/file.ts';
import type { RenewalConfig } from '../../shared/shaman/renewal-section.ts';
import { requireSolvers } from '../../shared/solver/kinds.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { describeAcmeServer, describeUnreached } from './acme-server.ts';
import { describeBounds, describeIdleSlots } from './bounds.ts';
import { describeClearListeners } from './clear-listeners.ts';
import { describeExposed } from './exposed-files.ts';
import { describePersistRecords } from './persist-records.ts';
import { describeUndivided } from './shares.ts';
import { renderTable } from './table.ts';

/**
 * `quarry check FILE…`: what the configuration says once every default and reference is resolved.
 *
 * @param write takes whole lines
 * @returns what the files say
 * @throws ConfigError when the configuration cannot be used
 */
export async function check(
  files: string[],
  env: Environment,
  write: (text: string) => void,
): Promise<Config> {
  const config = await loadConfig(files, env);
  const warnings = (await findWarnings(config)).map(warning => `warning: ${warning}`);
  const trail = describeTrail(config);
  const lines = [
    ...warnings,
    ...(warnings.length > 0 ? [''] : []),
    ...describeAccounts(config),
    ...describeListeners(config),
    ...describeAcmeServer(config),
    ...describeRedis(config),
    ...(config.mgmt.reload === 'watch' ? ['changes of these files: taken over by themselves'] : []),
    `CSRs: ${config.mgmt.maxSize} bytes at most`,
    ...config.renewals.map(describeRenewal),
    ...config.notify.map(describeNotify),
    ...(trail ? [`trail: ${trail}`] : []),
    '',
    ...renderTable(
      headings,
      config.auth.map(block => describeBlock(block, config)),
    ),
    '',
    ...(await describePersistRecords(config)),
    'configuration is good',
  ];
  write(hideIn(`${lines.join('\n')}\n`, config.hidden));
  return config;
}

/**
 * What works, and is likely not meant so; a line each.
 *
 * @throws ConfigError where a verification lacks something on this machine
 */
export async function findWarnings(config: Config): Promise<string[]> {
  requireSolvers(config.verifications.values());
  const found = [
    ...config.warnings,
    ...describeUnreachable(config.auth),
    ...describeUndivided(config),
    ...describeIdleSlots(config),
    ...describeClearListeners(config.auth, config.mgmt),
    ...describeUnreached(config),
    ...(await describeBadProfiles(config)),
    ...(await describeSecret(config)),
    ...(await describeExposed(config)),
  ];
  return found.map(warning => hideIn(warning, config.hidden));
}

function describeUnreachable(blocks: AuthBlockConfig[]): string[] {
  const name = ({ name }: AuthBlockConfig) => describeSection({ name: 'auth', label: name });
  return findUnreachable(blocks).map(
    ({ block, behind }) =>
      `${name(block)}: is never reached: ${name(behind)} before it accepts all that it would`,
  );
}

async function describeSecret({ secretFile }: Config): Promise<string[]> {
  const fault = await findSecretFault(secretFile);
  return fault === undefined ? [] : [fault];
}

/** No more than warnings, as the schedulers may run where this is not run. */
async function describeBadProfiles({ renewals }: Config): Promise<string[]> {
  const looks = renewals.map(async ({ name, directory }) => {
    const fault = await openShamanFile(directory)
      .read()
      .then(() => undefined, describeError);
    return fault === undefined ? [] : [`${describeSection({ name: 'renewal', label: name })}: ${fault}`];
  });
  return (await Promise.all(looks)).flat();
}

/** An account alone needs no name. */
function describeAccounts({ accounts }: Config): string[] {
  return [...accounts.values()].map(account => {
    const what = accounts.size > 1 ? `account "${account.name}"` : 'account';
    return `${what}: ${describeAccount(account)}`;
  });
}

function describeAccount(account: AccountConfig): string {
  const { acmeServer, dir, termsOfService, contact, proxy, anyKey } = account;
  const terms = Array.isArray(termsOfService) ? `accepted at ${termsOfService.join(', ')}` : termsOfService;
  const accepted = typeof terms === 'string' ? terms : terms ? 'accepted' : 'not accepted';
  const through = proxy ? `, proxy ${describeProxy(proxy)}` : '';
  const keys = anyKey ? ', any keys' : '';
  return `${acmeServer}, in ${dir}, terms ${accepted}, ${count(contact.length, 'contact')}${through}${keys}`;
}

function describeListeners({ mgmt, verifications, admin }: Config): string[] {
  const rows: [string, Listener[]][] = [
    [mgmt.tls ? 'mgmt (https)' : 'mgmt', mgmt.listeners],
    ...[...verifications.values()].flatMap((one): [string, Listener[]][] =>
      'listeners' in one ? [[`verification "${one.name}"`, one.listeners]] : [],
    ),
    ['admin', admin.listeners],
  ];
  const width = Math.max(...rows.map(([what]) => what.length));
  return [
    'listeners:',
    ...rows.map(([what, at]) => `  ${what.padEnd(width)}  ${at.map(formatListener).join(', ')}`),
  ];
}

/** A private one is nowhere else than `quarry up` makes it. */
function describeRedis({ redis }: Config): string[] {
  const place = findPlace(redis);
  return place ? [`Redis: ${whereOf(place)}`] : [];
}

function describeRenewal({ name, directory, schedule, accounts, verifications }: RenewalConfig): string {
  const when = schedule === undefined ? 'twice a day' : `at ${schedule} UTC`;
  const who = accounts.length > 0 ? `, from ${accounts.join(', ')}` : '';
  const how = verifications.length > 0 ? `, without authenticators by ${verifications.join(', ')}` : '';
  return `renewal "${name}": ${directory}, ${when}${who}${how}`;
}

function describeStorage(config: StorageConfig | undefined): string {
  if (!config) return '';
  const ahead = config.type !== 'none' && config.renewAhead ? ', renewed ahead' : '';
  return `${config.name} (${config.type}${ahead})`;
}

function describeNotify(block: NotifyConfig): string {
  const what = block.kinds.length === eventKinds.length ? 'every event' : block.kinds.join(', ');
  return `notify "${block.name}": ${describeWay(block)}, of ${what}`;
}

const headings = ['block', 'methods', 'names', 'client proof', 'solver', 'storage', 'accounts', 'bounds'];

/** One cell a heading; a cell is a list of items. */
function describeBlock(block: AuthBlockConfig, { accounts, verifications, storages }: Config): string[][] {
  const { name, ips, hmac, clientCerts = [], token, all, domains, addresses, ownNames = [], storage } = block;
  const methods = [
    ...(all ? ['all'] : []),
    ...ips.map(ip => `ip ${ip}`),
    ...(hmac ? [`hmac${hmac.version ?? ''} ${hmac.type} (${count(hmac.keys.length, 'key')})`] : []),
    ...clientCerts.map(glob => `client-cert ${glob}`),
    ...(token ? ['token'] : []),
  ];
  const own = ownNames.map(type => (type === 'dns' ? '{client}' : 'address {client}'));
  const names = [...domains, ...addresses.map(cidr => `address ${cidr}`), ...own];
  const solvers = block.verifications.map(solver => `${solver} (${verifications.get(solver)?.type})`);
  return [
    [name],
    methods,
    names.length > 0 ? names : ['matches nothing'],
    describeClientProof(block),
    solvers,
    [describeStorage(storages.get(storage))],
    accounts.size > 1 ? block.accounts.map(({ account }) => account) : [],
    describeBounds(block),
  ];
}

function describeClientProof({ clientProof }: AuthBlockConfig): string[] {
  if (!clientProof) return [];
  return [...clientProof.types, ...clientProof.networks.map(network => `network ${network}`)];
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
