import { readFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import type { Store } from '../../shared/base/redis.ts';
import { type AccountConfig, DEFAULT_ACCOUNT } from '../../shared/ca/account-section.ts';
import { openIssuers } from '../../shared/ca/issuers.ts';
import { readProxy } from '../../shared/config/proxy.ts';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { hastenTask, type RepeatedTask } from '../../shared/queue/schedule.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { nextTime } from '../../shared/shaman/renewal-section.ts';
import { openSolvers, requireSolvers } from '../../shared/solver/kinds.ts';
import { openTrail } from '../../shared/trail/trail.ts';
import { type ProfileParts, renewProfile } from './renew-profiles.ts';

const HOUR = 3_600_000;

type ProfileTask = RepeatedTask & { run(signal: AbortSignal): Promise<void> };

/** One for each `[renewal]` block, of which there are some: a run over its shaman profile. */
export async function openProfileTasks(
  config: Config,
  parts: {
    store: Store;
    /** When those are run that say nothing of it. */
    usualSchedule: string;
  } & Pick<ProfileParts, 'index' | 'notices' | 'cas' | 'clock' | 'log'>,
): Promise<ProfileTask[]> {
  const { store, usualSchedule, index, notices, cas, clock, log } = parts;
  const used = new Set(config.renewals.flatMap(({ verifications }) => verifications));
  const verifications = [...config.verifications.values()].filter(({ name }) => used.has(name));
  requireSolvers(verifications); // before the first run needs them
  const standing = config.accounts.get(DEFAULT_ACCOUNT);
  const profileParts: ProfileParts = {
    index,
    blockedKeys: openBlockedKeys(store),
    issuers: openIssuers(store),
    trail: openTrail(store),
    notices,
    solvers: openSolvers(verifications, { store, clock, log }),
    cas,
    path: (process.env.PATH ?? '').split(delimiter),
    ca: await readAuthorities(standing),
    proxy: standing ? standing.proxy : readProxy(process.env),
    clock,
    log,
  };
  return config.renewals.map(profile => {
    const { name: label, schedule = usualSchedule } = profile;
    const name = `profile/${label}`;
    const next = (now: number) => nextTime(schedule, now);
    const run = async (signal: AbortSignal) => {
      const nextRun = next(clock.now());
      try {
        const again = await renewProfile(profileParts, profile, nextRun, signal);
        if (again !== undefined) await hastenTask(store, name, again);
      } catch (error) {
        signal.throwIfAborted();
        await hastenTask(store, name, Math.min(nextRun, clock.now() + HOUR));
        throw error;
      }
    };
    return { name, rule: `${schedule} ${profile.directory}`, next, run };
  });
}

/** The CA of a profile's own account is trusted, and reached, as that of the account named `default`. */
async function readAuthorities(account: AccountConfig | undefined): Promise<string[] | undefined> {
  const caFile = account?.caFile;
  return caFile === undefined ? undefined : [await readFile(caFile, 'utf8')];
}
