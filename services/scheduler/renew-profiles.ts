import type { ProxyEnv } from 'node:http';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Issuers } from '../../shared/ca/issuers.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { BlockedKeys } from '../../shared/limits/blocked-keys.ts';
import type { Limit } from '../../shared/limits/limits.ts';
import { refuseKey } from '../../shared/limits/standing-limit.ts';
import { toPausedEvent } from '../../shared/order/remember-failure.ts';
import { describeLeaf, readCertificate } from '../../shared/pki/certificate.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { notifyOfExplanation } from '../../shared/renewal/notify-explanation.ts';
import type { ManagedCertificate, RenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { backoffEnd } from '../../shared/shaman/certificate.ts';
import { type DomainFacts, describeShaman } from '../../shared/shaman/describe-shaman.ts';
import type { RenewalConfig } from '../../shared/shaman/renewal-section.ts';
import { type DomainOutcome, runShaman, type ShamanParts } from '../../shared/shaman/run-shaman.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import type { Trail } from '../../shared/trail/trail.ts';
import { endEvents, notifyOfExpiry, warningTime } from './notify-renewals.ts';

const DAY = 24 * 3_600_000;
const SHORTEST_PAUSE = 60_000;

export type ProfileParts = {
  index: RenewalIndex;
  blockedKeys: Pick<BlockedKeys, 'find'>;
  issuers: Pick<Issuers, 'note'>;
  notices: Notices;
  trail: Pick<Trail, 'write'>;
  solvers: ReadonlyMap<string, Solver>;
  /** By the names of their accounts. */
  cas: ReadonlyMap<string, Ca>;
  /** The folders of PATH. */
  path: readonly string[];
  /**
   * PEM certificates of the authorities that the HTTPS of another CA is checked with, in place of the
   * system's.
   */
  ca: string[] | undefined;
  /** What leads to another CA. */
  proxy: ProxyEnv | undefined;
  clock: Clock;
  log: Log;
};

const profileId = (profile: string, domain: string) => `profile/${profile}/${domain}`;

/**
 * One run over a shaman profile, and what came of it into the index. What an operator wants renewed is
 * renewed first.
 *
 * @param nextRun when the next one is planned, in milliseconds since the epoch
 * @returns when a failed attempt should be made again, where that is before `nextRun`
 * @throws what keeps the whole profile from being run, of which there is one notification; or the signal's
 *   reason
 */
export async function renewProfile(
  parts: ProfileParts,
  profile: RenewalConfig,
  nextRun: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { clock, notices } = parts;
  const subject = `profile/${profile.name}`;
  try {
    const outcomes = await runProfile(parts, profile, nextRun, signal);
    await notices.ended(subject, ['renewal-failed']);
    const soonest = Math.min(...outcomes.map(({ facts }) => retryAt(facts)));
    return soonest < nextRun ? Math.max(soonest, clock.now() + SHORTEST_PAUSE) : undefined;
  } catch (error) {
    signal.throwIfAborted();
    const detail = describeError(error);
    if (!waitsForOthers(error)) await notices.notify({ kind: 'renewal-failed', subject, names: [], detail });
    throw error;
  }
}

async function runProfile(
  parts: ProfileParts,
  profile: RenewalConfig,
  nextRun: number,
  signal: AbortSignal,
): Promise<DomainOutcome[]> {
  const { index, blockedKeys, issuers, notices, solvers, cas, path, ca, proxy, clock, log } = parts;
  const run: ShamanParts = {
    directory: profile.directory,
    path,
    solvers: profile.verifications.flatMap(name => solvers.get(name) ?? []),
    accounts: profile.accounts.flatMap(name => cas.get(name) ?? []),
    cas: [...cas.values()],
    ca,
    proxy,
    claimant: `profile/${profile.name}`,
    onLimit: limit => noteLimit({ notices, log }, profile, limit),
    explained: (names, window) => notifyOfExplanation(notices, names, window),
    async issued(directory, chain) {
      await tellOfIssue(parts, profile, directory, chain);
      await issuers.note(directory, chain).catch(error => {
        log.warn({ renewal: profile.name, reason: describeError(error) }, 'the issuer cannot be noted');
      });
    },
    async refuseBlocked(publicKey) {
      const blocked = await blockedKeys.find(publicKey);
      if (blocked) throw refuseKey(blocked);
    },
    nextRun,
    spread: true,
    clock,
    log: log.child({ renewal: profile.name }),
    signal,
  };
  const forced = await findForced(index, profile);
  if (forced.length > 0) await record(parts, profile, await runShaman({ ...run, only: forced, now: true }));
  const outcomes = await runShaman({ ...run, patient: true });
  await record(parts, profile, outcomes);
  return outcomes;
}

/** A profile's own account has no name. */
async function tellOfIssue(
  { trail, cas, clock }: Pick<ProfileParts, 'trail' | 'cas' | 'clock'>,
  { name }: RenewalConfig,
  directory: string,
  chain: string,
): Promise<void> {
  const { der, ...what } = describeLeaf(chain, readCertificate(chain));
  const account = [...cas.values()].find(({ directoryUrl }) => directoryUrl === directory)?.name;
  const who = { block: `profile/${name}`, by: 'renewal', account };
  const event = { at: clock.now(), event: 'issued' as const, ...what, ...who };
  await trail.write(event, ['leaf', der.toString('base64')]);
}

async function noteLimit(
  { notices, log }: Pick<ProfileParts, 'notices' | 'log'>,
  { name: renewal }: RenewalConfig,
  limit: Limit,
): Promise<void> {
  const { key, until, detail } = limit;
  log.warn({ renewal, limit: key, until: until && new Date(until), reason: detail }, 'CA rate limit hit');
  const event = toPausedEvent(limit);
  if (event) await notices.notify(event);
}

/** When the backoff of a domain that failed is over for sure, as it is up to a tenth longer than its step. */
function retryAt({ failures, plan }: DomainFacts): number {
  if (!failures) return Number.POSITIVE_INFINITY;
  return plan?.at ?? failures.last + (backoffEnd(failures) - failures.last) * 1.1;
}

async function findForced(index: RenewalIndex, { name, directory }: RenewalConfig): Promise<string[]> {
  const domains = (await describeShaman(directory)).map(domain => domain.name);
  const known = await index.read(domains.map(domain => profileId(name, domain)));
  return domains.filter((_, at) => known[at]?.forced);
}

async function record(
  parts: ProfileParts,
  { name }: RenewalConfig,
  outcomes: DomainOutcome[],
): Promise<void> {
  const { index, notices, clock } = parts;
  for (const outcome of outcomes) {
    const managed = toManaged(profileId(name, outcome.name), outcome.facts, clock.now());
    await index.add(managed, nextLook(managed, clock.now()));
    if (outcome.did === 'issued') await endEvents(parts, managed);
    if (outcome.did !== 'failed' || waitsForOthers(outcome.error)) continue;
    const { id, names } = managed;
    await notices.notify({
      kind: 'renewal-failed',
      subject: id,
      names,
      detail: describeError(outcome.error),
    });
  }
}

/** These mend themselves; if they do not, the warning before the certificate expires says so. */
const waitsForOthers = (error: unknown) =>
  error instanceof IssuanceError && ['unavailable', 'rateLimited'].includes(error.code);

/** A domain that has no certificate yet stands in the index as one that has expired. */
function toManaged(id: string, facts: DomainFacts, now: number): ManagedCertificate {
  const { names, certificate, plan, failures } = facts;
  const life = certificate?.life ?? { notBefore: failures?.last ?? now, notAfter: failures?.last ?? now };
  const { info = { none: 'there is no certificate yet' }, named = false } = certificate ?? {};
  const last = failures && { ...failures, reason: failures.detail };
  return {
    id,
    names,
    ...life,
    info,
    named,
    certificate: certificate?.id ?? 'none',
    issuedBy: certificate?.issuedBy,
    pollFailures: 0,
    plan: plan ?? { at: now, first: now, why: 'there is no certificate yet' },
    ...(last && {
      failures: { count: last.count, last: last.last, retryAfter: last.retryAfter, reason: last.reason },
    }),
    renews: true,
    ahead: true,
    looked: true,
  };
}

/** Each day, so that a domain that is configured no more leaves the index. */
function nextLook(managed: ManagedCertificate, now: number): number {
  const warning = warningTime(managed);
  return warning > now ? Math.min(warning, now + DAY) : now + DAY;
}

/** Between runs: warns of what ends, and forgets what no profile has any more. */
export async function lookAtProfile(
  parts: Pick<ProfileParts, 'index' | 'notices' | 'clock' | 'log'>,
  profiles: readonly RenewalConfig[],
  managed: ManagedCertificate,
): Promise<void> {
  const { index, clock, log } = parts;
  const profile = profiles.find(({ name }) => managed.id.startsWith(profileId(name, '')));
  try {
    const domains = profile && (await describeShaman(profile.directory));
    if (!domains?.some(({ name }) => managed.id === profileId(profile?.name ?? '', name))) {
      return await index.remove(managed.id);
    }
  } catch (error) {
    log.warn({ id: managed.id, reason: describeError(error) }, 'a shaman profile cannot be looked at');
  }
  await notifyOfExpiry(parts, managed);
  await index.save(managed, nextLook(managed, clock.now()));
}
