import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import type { Clock } from '../../shared/base/clock.ts';
import type { Log } from '../../shared/base/log.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { askWindow } from '../../shared/renewal/ask-window.ts';
import type { ManagedCertificate } from '../../shared/renewal/renewal-index.ts';
import { tellExplained } from './tell-renewals.ts';

export type PollParts = { connection: CaConnection; notices: Pick<Notices, 'tell'>; clock: Clock; log: Log };

/**
 * Asks the CA when to renew, if it is time to ask, and passes on the page by which it explains its window.
 *
 * @returns the certificate with what was learnt; rejects only with the signal's reason
 */
export async function pollRenewalInfo(
  { connection, notices, log }: PollParts,
  managed: ManagedCertificate,
  signal: AbortSignal,
): Promise<ManagedCertificate> {
  const { certificate: id, names } = managed;
  const known = { info: managed.info, askAgain: managed.poll, failures: managed.pollFailures };
  const look = await askWindow(connection, { id, life: managed }, known, signal);
  if (look.fault) log.debug({ names, reason: look.fault }, 'no renewal information');
  if (look.explained) {
    log.warn({ names, explanation: look.explained.explanationUrl }, 'the CA explains when to renew');
    await tellExplained(notices, names, look.explained);
  }
  return { ...managed, info: look.info, poll: look.askAgain, pollFailures: look.failures };
}
