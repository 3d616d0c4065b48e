import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import { fetchRenewalInfo } from '../../shared/acme/renewal-info.ts';
import type { Clock } from '../../shared/base/clock.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { ManagedCertificate } from '../../shared/renewal/renewal-index.ts';
import { nextInfoPoll } from '../../shared/renewal/renewal-window.ts';
import { tellExplained } from './tell-renewals.ts';

export type PollParts = {
  connection: CaConnection;
  notices: Pick<Notices, 'notify'>;
  clock: Clock;
  log: Log;
};

/**
 * Asks the CA when to renew, if it is time to ask. What was known stays known while the CA cannot be asked.
 *
 * @returns the certificate with what was learnt; rejects only with the signal's reason
 */
export async function pollRenewalInfo(
  { connection, notices, clock, log }: PollParts,
  managed: ManagedCertificate,
  signal: AbortSignal,
): Promise<ManagedCertificate> {
  const { poll, certificate, names, info: known } = managed;
  if (poll === undefined || poll > clock.now()) return managed;
  const next = (answer: Parameters<typeof nextInfoPoll>[0]) =>
    nextInfoPoll(answer, managed, clock.now(), Math.random());
  try {
    const answer = await fetchRenewalInfo(connection, certificate, signal);
    if (!answer)
      return {
        ...managed,
        info: { none: 'the CA offers no renewal information' },
        poll: next({ info: answer }),
      };
    const { askAgain: _, ...info } = answer;
    const explanation = info.explanationUrl;
    if (explanation && (!('start' in known) || known.explanationUrl !== explanation)) {
      log.warn({ names, explanation }, 'the CA explains when to renew');
      await tellExplained(notices, names, { ...info, explanationUrl: explanation });
    }
    return { ...managed, info, poll: next({ info: answer }), pollFailures: 0 };
  } catch (error) {
    signal.throwIfAborted();
    const failures = managed.pollFailures + 1;
    const { code, retryAfter } =
      error instanceof IssuanceError ? error : { code: 'unexpected', retryAfter: undefined };
    const reason = describeError(error);
    log.debug({ names, reason }, 'no renewal information');
    const info = 'none' in known ? { none: `renewal information cannot be had: ${reason}` } : known;
    return { ...managed, info, poll: next({ code, retryAfter, failures }), pollFailures: failures };
  }
}
