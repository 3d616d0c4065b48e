import type { Clock, Log } from '../../shared/base/basics.ts';
import type { SignFailure } from '../../shared/base/errors.ts';
import { LAST_PART, lifeOf } from '../../shared/pki/life.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { LastFetch, ManagedCertificate } from '../../shared/renewal/renewal-index.ts';
import { isAlarming } from '../../shared/renewal/renewal-window.ts';

const DAY = 24 * 3_600_000;
const FIRST_WARNING = 14 * DAY;
/** Failures that the CA or the network may mend make no notification before so many attempts. */
const PATIENCE = 3;
/** Causes that all certificates have in common are one event. */
const common = ['unavailable', 'rateLimited', 'misconfigured'];
const commonSubject = (code: string) => `renewals/${code}`;

type Parts = { notices: Notices; clock: Clock; log: Log };

/**
 * When to warn of a certificate that ends soon: not before it should have been renewed. Milliseconds since
 * the epoch.
 */
export function warningTime(managed: Pick<ManagedCertificate, 'notBefore' | 'notAfter' | 'plan'>): number {
  const { notAfter, plan } = managed;
  const life = lifeOf(managed);
  return Math.max(notAfter - Math.min(FIRST_WARNING, life / 4), plan.first + Math.min(DAY, life * LAST_PART));
}

/** A certificate that is near its end though Quarry should have renewed it. */
export async function notifyOfExpiry({ notices, clock }: Parts, managed: ManagedCertificate): Promise<void> {
  const { id, names, notAfter, failures, left, renews } = managed;
  const now = clock.now();
  if (left || !renews || now < Math.min(warningTime(managed), notAfter)) return;
  const daysLeft = Math.ceil((notAfter - now) / DAY);
  const end = new Date(notAfter).toISOString();
  const why = failures ? `: ${failures.reason}` : '';
  const detail = `${daysLeft > 0 ? 'expires' : 'has expired'} at ${end} and is not renewed${why}`;
  await notices.notify({ kind: 'expires-soon', subject: id, names, detail, daysLeft });
}

export async function notifyOfFailure(
  { notices, clock, log }: Parts,
  { id, failures, ...managed }: ManagedCertificate,
  { code, detail }: SignFailure,
): Promise<void> {
  const { names, notAfter, renews } = managed;
  const alarm = isAlarming(managed, clock.now());
  const said = { names, attempts: failures?.count, reason: detail, end: new Date(notAfter) };
  log[alarm ? 'error' : 'warn'](
    said,
    alarm ? 'renewal failed, and the certificate is about to end' : 'renewal failed',
  );
  if (!renews) return; // the answers to its host's posts say it
  const shared = common.includes(code);
  if (shared && !alarm && (failures?.count ?? 0) < PATIENCE) return;
  await notices.notify({ kind: 'renewal-failed', subject: shared ? commonSubject(code) : id, names, detail });
}

/** A certificate that Quarry does not renew, as no client has fetched it in its life. */
export async function notifyOfUnfetched(
  { notices, log }: Parts,
  managed: ManagedCertificate,
  fetched: LastFetch | undefined,
): Promise<void> {
  const { id, names, notAfter, ahead, left, renews } = managed;
  if (left || !renews) return;
  log.info({ names, end: new Date(notAfter) }, 'no client has fetched the certificate, it is not renewed');
  if (!fetched) return; // there may be thousands that no client has wanted for years
  const what = ahead ? 'was renewed, but no client has fetched it' : 'was not fetched';
  const detail = `${what} since ${new Date(fetched.at).toISOString()}; Quarry does not renew it`;
  await notices.notify({ kind: 'renewed-not-fetched', subject: id, names, detail });
}

/**
 * Ends the events of its predecessor; and as a certificate was issued at all, those that all renewals share.
 */
export async function endEvents({ notices }: Parts, { id, ahead }: ManagedCertificate): Promise<void> {
  await notices.ended(id, ['renewal-failed', 'expires-soon', 'renewed-not-fetched']);
  if (ahead) for (const code of common) await notices.ended(commonSubject(code), ['renewal-failed']);
}
