import { resolve } from 'node:path';
import { openAcmeClient } from '../acme/client.ts';
import { openCaConnection } from '../acme/connection.ts';
import { removeUnfinished } from '../base/atomic-file.ts';
import { lockDirectory } from '../base/directory-lock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { USER_AGENT } from '../base/version.ts';
import { leaveOtherServer, openShamanAccount } from './account.ts';
import { saysAccountIsGone } from './account-is-gone.ts';
import { deploy } from './deploy.ts';
import { type DomainFacts, describeDomain } from './describe-shaman.ts';
import { runDomain } from './domain.ts';
import { openShamanFile } from './file.ts';
import type { FailureMemory } from './memory.ts';
import { DomainEntry, type ShamanParts, type ShamanRun } from './run.ts';

/** What became of a domain in one run. */
export type DomainOutcome = {
  name: string;
  did: 'issued' | 'kept' | 'failed';
  /** Why it failed; what is to be told is in `describeError(error)`. */
  error?: unknown;
  /** What is known of it now. */
  facts: DomainFacts;
};

/**
 * One run over the `shaman.json` in a directory (concorde's shaman): safe to repeat, and to stop anywhere, as everything
 * is saved before the next thing is done. One domain that fails does not stop the others.
 *
 * @throws ConfigError when `shaman.json` cannot be read or used; IssuanceError when the account cannot be had, or
 *   `unavailable` while another run is at work in the directory; or the signal's reason
 */
export async function runShaman(parts: ShamanParts): Promise<DomainOutcome[]> {
  const { clock, log, ca } = parts;
  const file = openShamanFile(resolve(parts.directory));
  await file.read(); // what is wrong with it is the better news
  await using lock = await lockDirectory(resolve(parts.directory));
  if (!lock) throw new IssuanceError('unavailable', `another run is at work in ${parts.directory}`);
  await removeUnfinished(resolve(parts.directory));
  const signal = AbortSignal.any([parts.signal, lock.lost]);
  const profile = await leaveOtherServer(file, await file.read(), log);
  using connection = openCaConnection({ directoryUrl: profile.server, userAgent: USER_AGENT, clock, ca });

  const open: OpenRun = async lost => {
    const account = await openShamanAccount({ file, connection, log, signal }, await file.read(), lost);
    const acme = openAcmeClient(connection, account, signal);
    const confirm = async () => lock.lost.throwIfAborted();
    return { ...parts, file, profile, connection, signal, acme, accountUrl: account.url, confirm };
  };
  return await runDomains(await open(), open);
}

/** @param lost an account URL that the CA no longer knows */
type OpenRun = (lost?: string) => Promise<ShamanRun>;

async function runDomains(first: ShamanRun, open: OpenRun): Promise<DomainOutcome[]> {
  const { file, profile, log, only } = first;
  let run = first;
  const outcomes: DomainOutcome[] = [];

  async function attempt(entry: DomainEntry): Promise<Ended> {
    try {
      return await attemptDomain(run, entry);
    } catch (error) {
      if (!saysAccountIsGone(error)) throw error;
      log.warn(`the CA no longer knows the account ${run.accountUrl}`);
      run = await open(run.accountUrl);
      return attemptDomain(run, entry);
    }
  }

  for (const domain of profile.domains.filter(({ name }) => only?.includes(name) ?? true)) {
    const entry = new DomainEntry(file, domain);
    const ended = await attempt(entry).catch(error => afterFailure(run, entry, error));
    outcomes.push({ name: domain.name, ...ended, facts: await describeDomain(file, profile, entry.domain) });
  }
  return outcomes;
}

type Ended = Pick<DomainOutcome, 'did' | 'error'>;

async function attemptDomain(run: ShamanRun, entry: DomainEntry): Promise<Ended> {
  const did = (await runDomain(run, entry)) ? 'issued' : 'kept';
  try {
    await deploy(run, entry);
    return { did };
  } catch (error) {
    run.signal.throwIfAborted();
    const { name } = entry.domain;
    run.log.error({ domain: name }, `${name}: ${describeError(error)}`); // the certificate itself is as it should be
    return { did: 'failed', error };
  }
}

async function afterFailure(
  { signal, clock, log }: ShamanRun,
  entry: DomainEntry,
  error: unknown,
): Promise<Ended> {
  signal.throwIfAborted();
  const { name, memory } = entry.domain;
  const told = describeError(error);
  const detail = told.startsWith(`${name}: `) ? told.slice(name.length + 2) : told;
  log.error({ domain: name }, `${name}: ${detail}`);
  const retryAfter = error instanceof IssuanceError ? error.retryAfter : undefined;
  const failures: FailureMemory = {
    ...{ count: (memory.failures?.count ?? 0) + 1, last: clock.now(), detail },
    ...(retryAfter !== undefined && { retryAfter }),
  };
  await entry.change({ memory: { failures } });
  return { did: 'failed', error };
}
