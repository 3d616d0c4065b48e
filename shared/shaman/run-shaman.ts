import type { ProxyEnv } from 'node:http';
import { resolve } from 'node:path';
import { removeUnfinished } from '../base/atomic-file.ts';
import type { Clock, Log } from '../base/basics.ts';
import { lockDirectory } from '../base/directory-lock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { OpenAccount } from '../ca/account-holder.ts';
import { type Ca, openCaOf, withAccount } from '../ca/open-ca.ts';
import type { Limit } from '../limits/limits.ts';
import type { Solver } from '../solver/solver.ts';
import { type Accounts, leaveOtherServer, OWN_ACCOUNT, openAccounts, openShamanAccount } from './account.ts';
import { type DomainFacts, describeDomain } from './describe-shaman.ts';
import { type RunHabits, runDomain } from './domain.ts';
import { DomainEntry, openShamanFile, type ShamanFile } from './file.ts';
import type { FailureMemory } from './memory.ts';
import type { Ordering } from './order.ts';
import type { ShamanProfile } from './profile.ts';
import { deploy, openSolversFor } from './programs.ts';

export type ShamanParts = Omit<RunHabits, 'days'> & {
  /** Where `shaman.json` lies. */
  directory: string;
  /** The folders in which programs are looked for that are not in the directory: those of PATH. */
  path: readonly string[];
  /** For domains without authenticators, in the order of preference. */
  solvers?: readonly Solver[];
  /**
   * Quarry's accounts that order in place of the profile's own, in the order of preference; none: its own
   * does.
   */
  accounts?: readonly Ca[];
  /**
   * All of Quarry's accounts: where the profile's own is at one of their CAs, its orders count for the same
   * limits.
   */
  cas?: readonly Ca[];
  /**
   * PEM certificates of the authorities that the HTTPS of another CA is checked with, in place of the
   * system's.
   */
  ca?: string[] | undefined;
  /** What leads to another CA than theirs. */
  proxy?: ProxyEnv | undefined;
  /** Of this profile's claims on what those CAs allow. */
  claimant?: string;
  /** Gets each limit that a CA answered with. */
  onLimit?: (limit: Limit) => Promise<void>;
  /** Runs these domains alone. */
  only?: readonly string[];
  clock: Clock;
  /** Gets whole sentences, those of one domain with its name in front, and `domain` as a field. */
  log: Log;
  signal: AbortSignal;
};

/** What became of a domain in one run. */
export type DomainOutcome = {
  name: string;
  did: 'issued' | 'kept' | 'failed';
  /** Why it failed, for `describeError`. */
  error?: unknown;
  /** What is known of it now. */
  facts: DomainFacts;
};

/**
 * One run over the `shaman.json` in a directory (concorde's shaman): safe to repeat, and to stop anywhere, as
 * everything is saved before the next thing is done. One domain that fails does not stop the others.
 *
 * @throws ConfigError when `shaman.json` cannot be read or used; IssuanceError when the account cannot be
 *   had, or `unavailable` while another run is at work in the directory; or the signal's reason
 */
export async function runShaman(parts: ShamanParts): Promise<DomainOutcome[]> {
  const { clock, log, path, claimant = '', onLimit = async () => {} } = parts;
  const file = openShamanFile(resolve(parts.directory));
  await file.read(); // what is wrong with it is the better news
  await using lock = await lockDirectory(resolve(parts.directory));
  if (!lock) throw new IssuanceError('unavailable', `another run is at work in ${parts.directory}`);
  await removeUnfinished(resolve(parts.directory));
  const signal = AbortSignal.any([parts.signal, lock.lost]);
  using stack = new DisposableStack();
  const { profile, accounts } = await openRun(stack, file, parts, signal);
  const ordering: Ordering = {
    accounts,
    solversOf: domain => openSolversFor(domain, profile, parts.solvers ?? [], { file, path }, log),
    claimant,
    onLimit,
    confirm: async () => lock.lost.throwIfAborted(),
    clock,
    log,
    signal,
  };
  const { now, nextRun, patient, spread, explained, issued, refuseBlocked } = parts;
  const days = profile.renewal;
  const habits = { days, now, nextRun, patient, spread, explained, issued, refuseBlocked };
  const run = async (entry: DomainEntry) => {
    const issued = await runDomain(ordering, entry, habits);
    return finishDomain(entry, issued, path, signal);
  };
  return runDomains(domainsOf(file, profile, parts), run, { days: profile.renewal, clock, signal });
}

/**
 * Without accounts of Quarry's, the profile's own is made ready; with them, nothing that is concorde's is
 * touched.
 */
async function openRun(
  stack: DisposableStack,
  file: ShamanFile,
  parts: Pick<ShamanParts, 'accounts' | 'cas' | 'ca' | 'proxy' | 'clock' | 'log'>,
  signal: AbortSignal,
): Promise<{ profile: ShamanProfile; accounts: Accounts }> {
  const { accounts = [], cas = [], log } = parts;
  const found = await file.read();
  if (accounts.length > 0) {
    const { server } = found;
    return { profile: found, accounts: openAccounts(accounts, { all: cas, server }, { log, signal }) };
  }
  const profile = await leaveOtherServer(file, found, log);
  const { server } = profile;
  const own = openOwnCa(stack, parts, file, server, signal);
  await own.account.open(signal);
  return { profile, accounts: openAccounts([own], { all: [own, ...cas], server }, { log, signal }) };
}

/**
 * Of the account that the profile names. Where the fleet knows its CA, the limits are those that the fleet
 * has there.
 */
function openOwnCa(
  stack: DisposableStack,
  { cas = [], ca, proxy, clock, log }: Pick<ShamanParts, 'cas' | 'ca' | 'proxy' | 'clock' | 'log'>,
  file: ShamanFile,
  directoryUrl: string,
  signal: AbortSignal,
): Ca {
  // Nothing is written to the directory once the run has ended, so its signal counts and not that of a
  // request.
  const open: OpenAccount = (connection, _, lost) =>
    openShamanAccount(connection, { file, log }, signal, lost);
  const known = cas.find(one => one.directoryUrl === directoryUrl);
  if (known) return withAccount(known, OWN_ACCOUNT, open);
  return stack.use(openCaOf({ name: OWN_ACCOUNT, directoryUrl, ca, proxy }, open, clock));
}

function domainsOf(
  file: ShamanFile,
  { domains }: ShamanProfile,
  { only, log }: Pick<ShamanParts, 'only' | 'log'>,
): DomainEntry[] {
  const wanted = domains.filter(({ name }) => only?.includes(name) ?? true);
  return wanted.map(domain => new DomainEntry(file, domain, log));
}

type Ended = Pick<DomainOutcome, 'did' | 'error'>;

async function runDomains(
  entries: readonly DomainEntry[],
  run: (entry: DomainEntry) => Promise<Ended>,
  { days, clock, signal }: { days: number | undefined; clock: Clock; signal: AbortSignal },
): Promise<DomainOutcome[]> {
  const outcomes: DomainOutcome[] = [];
  for (const entry of entries) {
    const ended = await run(entry).catch(error => {
      signal.throwIfAborted();
      return keepFailure(entry, error, clock.now());
    });
    const { file, domain } = entry;
    outcomes.push({ name: domain.name, ...ended, facts: await describeDomain(file, days, domain) });
  }
  return outcomes;
}

/** The certificate itself is as it should be where `deploy` fails. */
async function finishDomain(
  entry: DomainEntry,
  issued: boolean,
  path: readonly string[],
  signal: AbortSignal,
): Promise<Ended> {
  try {
    await deploy(entry, path, signal);
    return { did: issued ? 'issued' : 'kept' };
  } catch (error) {
    signal.throwIfAborted();
    entry.say('error', describeError(error));
    return { did: 'failed', error };
  }
}

async function keepFailure(entry: DomainEntry, error: unknown, now: number): Promise<Ended> {
  const { name, memory } = entry.domain;
  const told = describeError(error);
  const detail = told.startsWith(`${name}: `) ? told.slice(name.length + 2) : told;
  entry.say('error', detail);
  const retryAfter = error instanceof IssuanceError ? error.retryAfter : undefined;
  const failures: FailureMemory = {
    count: (memory.failures?.count ?? 0) + 1,
    last: now,
    detail,
    ...(retryAfter !== undefined && { retryAfter }),
  };
  await entry.change({ memory: { failures } });
  return { did: 'failed', error };
}
