import type { CaConnection } from '../../shared/acme/connection.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { askWindow } from '../../shared/renewal/ask-window.ts';
import { notifyOfExplanation } from '../../shared/renewal/notify-explanation.ts';
import type { ManagedCertificate } from '../../shared/renewal/renewal-index.ts';
import type { IssuedBy } from '../../shared/storage/storage.ts';

export type PollParts = {
  /** The CA that issued a certificate, if it is configured; macen did not record it. */
  caOf(issuedBy: IssuedBy | undefined): { connection: CaConnection } | undefined;
  notices: Pick<Notices, 'notify'>;
  clock: Clock;
  log: Log;
};

/**
 * A certificate without a record of its issuer is taken for the default account's, as it was issued before
 * there were others.
 */
export function findIssuer<Ca extends { name: string; connection: CaConnection }>(
  cas: readonly Ca[],
  issuedBy: IssuedBy | undefined,
): Ca | undefined {
  if (!issuedBy) return cas.find(({ name }) => name === 'default') ?? cas[0];
  return cas.find(({ connection }) => connection.directoryUrl === issuedBy.directory);
}

/**
 * Asks the CA that issued a certificate when to renew it, if it is time to ask, and passes on the page by
 * which it explains its window. A CA that is configured no more is not asked, and what it said before holds
 * no longer.
 *
 * @returns the certificate with what was learnt; rejects only with the signal's reason
 */
export async function pollRenewalInfo(
  { caOf, notices, log }: PollParts,
  managed: ManagedCertificate,
  signal: AbortSignal,
): Promise<ManagedCertificate> {
  const { certificate: id, names, issuedBy } = managed;
  const ca = caOf(issuedBy);
  if (!ca) return { ...managed, info: { none: `the CA at ${issuedBy?.directory} is configured no more` } };
  const known = { info: managed.info, askAgain: managed.poll, failures: managed.pollFailures };
  const look = await askWindow(ca.connection, { id, life: managed }, known, signal);
  if (look.fault) log.debug({ names, reason: look.fault }, 'no renewal information');
  if (look.explained) {
    log.warn({ names, explanation: look.explained.explanationUrl }, 'the CA explains when to renew');
    await notifyOfExplanation(notices, names, look.explained);
  }
  return { ...managed, info: look.info, poll: look.askAgain, pollFailures: look.failures };
}
