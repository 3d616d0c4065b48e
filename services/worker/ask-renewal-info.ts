import type { Certificates } from '../../shared/acme-server/certificates.ts';
import type { KnownWindows } from '../../shared/acme-server/known-windows.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { askWindow, type WindowMemory } from '../../shared/renewal/ask-window.ts';
import { notifyOfExplanation } from '../../shared/renewal/notify-explanation.ts';

const ASK_AGAIN = 20 * 3_600_000;

const NOT_ASKED: WindowMemory = { info: { none: 'the CA was not asked yet' }, askAgain: 0, failures: 0 };

/** What it takes to ask CAs when to renew the certificates of ACME clients. */
export type RenewalInfoParts = {
  cas: ReadonlyMap<string, Pick<Ca, 'connection' | 'directoryUrl'>>;
  certificates: Pick<Certificates, 'read'>;
  windows: KnownWindows;
  notices: Pick<Notices, 'notify'>;
  clock: Clock;
  log: Log;
};

/**
 * Asks the CA that has issued an ACME client's certificate when to renew it, if it is time to ask, and keeps
 * what it says for all intakes. A CA that is configured no more is not asked.
 *
 * @throws only the signal's reason, and what Redis says
 */
export async function askRenewalInfo(
  { cas, certificates, windows, notices, clock, log }: RenewalInfoParts,
  fingerprint: string,
  signal: AbortSignal,
): Promise<void> {
  const certificate = await certificates.read(fingerprint);
  if (certificate?.renewalId === undefined) return;
  const { renewalId: id, names, issuedBy } = certificate;
  const known = (await windows.read(id)) ?? NOT_ASKED;
  const ca = [...cas.values()].find(({ directoryUrl }) => directoryUrl === issuedBy?.directory);
  if (!ca) {
    const info = { none: `the CA at ${issuedBy?.directory} is configured no more` };
    return windows.keep(
      id,
      { info, askAgain: clock.now() + ASK_AGAIN, failures: 0 },
      certificate,
      clock.now(),
    );
  }
  const look = await askWindow(ca.connection, { id, life: certificate }, known, signal);
  if (look.fault) log.debug({ names, reason: look.fault }, 'no renewal information');
  if (look.explained) {
    log.warn({ names, explanation: look.explained.explanationUrl }, 'the CA explains when to renew');
    await notifyOfExplanation(notices, names, look.explained);
  }
  await windows.keep(id, look, certificate, clock.now());
}
