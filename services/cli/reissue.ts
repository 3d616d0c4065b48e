import { toDomainGlob } from '../../shared/admission/admit.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { hastenTask } from '../../shared/queue/schedule.ts';
import {
  type ManagedCertificate,
  openRenewalIndex,
  type RenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { openShamanFile } from '../../shared/shaman/file.ts';
import { isAgreedTo } from './agree.ts';
import { isClients, openClientCertificates, type Reissuable } from './client-certificates.ts';
import { type Command, needFiles, parseTime, readOptions, splitWords } from './command.ts';
import { type FleetRedis, openFleetRedis, openFleetWithSecret } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';

/**
 * The scheduler takes up so many a second; what the CA's limits leave no room for waits in the queue of
 * orders.
 */
const PACE = 10;
const MOST_SHOWN = 20;
const NOTED_AT_ONCE = 500;

const OPTIONS = '[--account ACCOUNT] [--issued-before TIME] [--yes]';

/** `quarry reissue`: for a CA that revokes many certificates, and for a move to another CA. */
export const reissueCommand: Command = {
  usage: [`reissue ${OPTIONS} [NAME…] FILE…`],
  forms: [`reissue ${OPTIONS} FILE…`],
  summary:
    'renews all certificates that match: by names or globs, by account, by when they were issued; asks first',
  example: "quarry reissue --account default --issued-before 2026-11-20 '*.example.org' main.ini",
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      account: { type: 'string' },
      'issued-before': { type: 'string' },
      yes: { type: 'boolean' },
    });
    const { names, files } = await splitWords(positionals);
    const issuedBefore = parseTime(values['issued-before']);
    const config = await loadConfig(needFiles('reissue', files), env);
    using opened = await openFleet(config, files, env);
    const index = openRenewalIndex(opened.store);
    const accountOf = await openAccountOf(config, values.account !== undefined);
    const wanted = { names, account: values.account, issuedBefore };
    const clients = opened.secret && openClientCertificates({ ...opened, secret: opened.secret });
    const all = [...(await readAll(index)), ...((await clients?.list()) ?? [])];
    const found = choose(all, wanted, accountOf, opened.clock.now());
    write(describe(found, accountOf));
    if (!values.yes && !(await isAgreedTo('nothing is reissued'))) return write('nothing is reissued\n');
    await noteReissue(opened, found);
    const [own, ofClients] = divide(found);
    await reissue(opened, index, own);
    await clients?.reissue(ofClients);
    write(describeNext(found));
  },
};

/** With the secret of the roles where there may be certificates of ACME clients, which are sealed with it. */
const openFleet = (
  { acme }: Config,
  files: string[],
  env: Environment,
): Promise<FleetRedis & { secret?: Buffer }> =>
  acme.url === undefined ? openFleetRedis(files, env) : openFleetWithSecret(files, env);

export type Wanted = {
  /** All where none is given. */
  names: readonly string[];
  account: string | undefined;
  /** Milliseconds since the epoch. */
  issuedBefore: number | undefined;
};

/**
 * What is to be reissued, the soonest end first, by names where ends are equal. What has expired, and what a
 * host no longer fetches as it has a new key, is not.
 *
 * @throws Error in one line where a name, or all together, match nothing
 */
export function choose(
  all: readonly Reissuable[],
  { names, account, issuedBefore }: Wanted,
  accountOf: (managed: Reissuable) => string,
  now: number,
): Reissuable[] {
  const found = all
    .filter(({ notAfter, superseded }) => notAfter > now && !superseded)
    .filter(managed => account === undefined || accountOf(managed) === account)
    .filter(({ notBefore }) => issuedBefore === undefined || notBefore < issuedBefore);
  const matchers = names.map(toMatcher);
  const unmatched = names.find((_, at) => !found.some(managed => matchers[at]?.(managed)));
  if (unmatched !== undefined) throw new Error(`nothing to reissue is called ${JSON.stringify(unmatched)}`);
  if (found.length === 0) throw new Error('there is nothing to reissue');
  const matching =
    names.length === 0 ? found : found.filter(managed => matchers.some(matches => matches(managed)));
  return matching.sort((a, b) => a.notAfter - b.notAfter || `${a.names}`.localeCompare(`${b.names}`));
}

/** The names of `quarry renew`, and globs. */
function toMatcher(name: string): (managed: Reissuable) => boolean {
  const matches = toDomainGlob(name);
  return ({ id, names }) => id === name || id.startsWith(`profile/${name}/`) || names.some(matches);
}

async function readAll(index: RenewalIndex): Promise<ManagedCertificate[]> {
  const all = new Map<string, ManagedCertificate>(); // a part may come twice
  for await (const part of index.list()) for (const one of part) all.set(one.id, one);
  return [...all.values()];
}

/** The account that issued a certificate. Without a record it was issued while there was but one account. */
async function openAccountOf(config: Config, needed: boolean): Promise<(managed: Reissuable) => string> {
  const accounts = [...config.accounts.values()];
  const ofProfile = new Map<string, string>();
  for (const { name, directory } of needed ? config.renewals : []) {
    const { server } = await openShamanFile(directory).read();
    const own = accounts.find(({ acmeServer }) => acmeServer === server);
    ofProfile.set(`profile/${name}`, own?.name ?? server);
  }
  return ({ id, issuedBy }) =>
    issuedBy?.account ?? ofProfile.get(id.slice(0, id.lastIndexOf('/'))) ?? accounts[0]?.name ?? 'default';
}

function describe(found: readonly Reissuable[], accountOf: (managed: Reissuable) => string): string {
  const counts = new Map<string, number>();
  for (const one of found) counts.set(accountOf(one), (counts.get(accountOf(one)) ?? 0) + 1);
  const shown = found.slice(0, MOST_SHOWN).map(toLine);
  const more = found.length > MOST_SHOWN ? `    and ${found.length - MOST_SHOWN} more\n` : '';
  const issuers = [...counts].map(([account, count]) => `${count} of account ${account}`).join(', ');
  const what = found.length === 1 ? '1 certificate is' : `${found.length} certificates are`;
  return `${what} to be renewed ${describeWhen(found)} (${issuers}):\n${shown.join('')}${more}`;
}

const toLine = (one: Reissuable) =>
  `    ${one.names.join(', ')}${isClients(one) ? ' (an ACME client has it)' : ''}\n`;

/** What Quarry renews, and what ACME clients do. */
const divide = (found: readonly Reissuable[]): [own: Reissuable[], clients: Reissuable[]] => [
  found.filter(one => !isClients(one)),
  found.filter(isClients),
];

function describeWhen(found: readonly Reissuable[]): string {
  const [own] = divide(found);
  if (own.length === 0) return found.length === 1 ? 'by its ACME client' : 'by their ACME clients';
  const minutes = Math.ceil(own.length / PACE / 60);
  const over = minutes === 1 ? 'a minute' : `${minutes} minutes`;
  return `within ${over}, or as soon as the CA's limits allow`;
}

function describeNext(found: readonly Reissuable[]): string {
  const [own, clients] = divide(found).map(all => all.length > 0);
  const lines = [
    ...(own ? ['the schedulers begin; quarry renewals shows how it goes'] : []),
    ...(clients ? ['ACME clients renew theirs when they next ask for renewal information'] : []),
  ];
  return lines.map(line => `${line}\n`).join('');
}

/** An event for each certificate; a part of them in one command. */
async function noteReissue(fleet: FleetRedis, found: readonly Reissuable[]): Promise<void> {
  for (let at = 0; at < found.length; at += NOTED_AT_ONCE) {
    const part = found.slice(at, at + NOTED_AT_ONCE);
    await Promise.all(part.map(({ id, names }) => noteOperator(fleet, `reissue ${id}`, { names })));
  }
}

/** A shaman profile is run as a whole, one domain after the other; of the others each has its time. */
async function reissue(
  { store, clock }: FleetRedis,
  index: RenewalIndex,
  found: readonly Reissuable[],
): Promise<void> {
  const now = clock.now();
  const tasks = new Set<string>();
  for (const [at, { id }] of found.entries()) {
    const [, profile] = /^(profile\/.*)\/[^/]*$/s.exec(id) ?? [];
    if (profile === undefined) await index.reissue(id, now + (at * 1_000) / PACE);
    else await index.force(id, now);
    tasks.add(profile ?? 'renew');
  }
  for (const task of tasks) await hastenTask(store, task, now);
}
