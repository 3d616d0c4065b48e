import type { RouterContext } from '@koa/router';
import { isRenewalInfoId } from '../../../shared/acme/renewal-info.ts';
import type { Certificates, ClientCertificate } from '../../../shared/acme-server/certificates.ts';
import type { KnownWindows } from '../../../shared/acme-server/known-windows.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import { suggestWindow } from '../../../shared/acme-server/suggest-window.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import { toTime } from '../../../shared/base/to-time.ts';
import type { AcmeQueue } from '../../../shared/queue/acme-queue.ts';
import { isTimeToAsk, type WindowMemory } from '../../../shared/renewal/ask-window.ts';
import { patienceOf, type Waiting } from '../routes/sign.ts';

/** Seconds that a client waits for what its certificate's CA says now, before it gets what is known. */
const PATIENCE = 5;

/**
 * When to renew a certificate (RFC 9773 section 4.2): what its CA suggests, which a worker asks when it is
 * time to. Only what ACME clients got here is asked about; any other id costs one look into Redis.
 */
export function renewalInfoRoute(parts: {
  certificates: Pick<Certificates, 'findByRenewalId'>;
  windows: Pick<KnownWindows, 'read'>;
  acmeQueue: Pick<AcmeQueue, 'enqueue' | 'result'>;
  waiting: Waiting;
}) {
  const { certificates, windows, acmeQueue, waiting } = parts;
  const { clock } = waiting;

  async function askCa(ctx: RouterContext, { fingerprint }: ClientCertificate): Promise<void> {
    const { requestId } = ctx.state;
    const job = await acmeQueue.enqueue({ kind: 'renewal-info', fingerprint, requestId });
    using patience = patienceOf(ctx, waiting, PATIENCE);
    await acmeQueue.result(job, patience.signal).catch(passOverFailure);
  }

  async function findWindow(
    ctx: RouterContext,
    certificate: ClientCertificate,
    id: string,
  ): Promise<WindowMemory | undefined> {
    const known = await windows.read(id);
    const isDecided = certificate.revoked !== undefined || certificate.reissue !== undefined;
    if (isDecided || (known && !isTimeToAsk(known, clock.now()))) return known;
    await askCa(ctx, certificate);
    return windows.read(id);
  }

  return async (ctx: RouterContext): Promise<void> => {
    const { id = '' } = ctx.params;
    const certificate = isRenewalInfoId(id)
      ? await needingRedis(() => certificates.findByRenewalId(id))
      : undefined;
    if (!certificate)
      throw new AcmeError('malformed', 'no certificate of this server has that id', { status: 404 });
    ctx.state.names = certificate.names;
    const memory = await needingRedis(() => findWindow(ctx, certificate, id));
    const now = clock.now();
    const { start, end, explanationUrl, askAgain } = suggestWindow(certificate, memory, now);
    ctx.set('Retry-After', String(Math.ceil((askAgain - now) / 1_000)));
    ctx.body = {
      suggestedWindow: { start: toTime(start), end: toTime(end) },
      ...(explanationUrl !== undefined && { explanationURL: explanationUrl }),
    };
  };
}

/** Where no worker could ask, what is known is the answer. Where Redis is away, the next look says so. */
function passOverFailure(error: unknown): void {
  if (!(error instanceof IssuanceError) || error.code !== 'unavailable') throw error;
}
