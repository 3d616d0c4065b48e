import type { Context, Middleware } from 'koa';
import type { Nonces } from '../../../shared/acme-server/nonces.ts';
import { type AcmeError, toAcmeError, toProblem } from '../../../shared/acme-server/problem.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { Clock, Log } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { toRefusal } from '../app.ts';
import { isRefusal, type Refusals } from '../refusals.ts';
import { type Clients, noteClient } from '../routes/sign.ts';
import { addNote, toRetryAfter } from '../to-answer.ts';

/** What all answers have in common, errors among them (RFC 8555 sections 6.5 to 6.7, and 7.1). */
export function acmeAnswers(parts: {
  urls: Urls;
  nonces: Nonces;
  clients: Clients;
  refusals: Pick<Refusals, 'note'>;
  clock: Clock;
  log: Log;
}): Middleware {
  const { urls, nonces, clients, refusals, clock, log } = parts;
  const index = `<${urls.directory}>;rel="index"`;

  async function answerError(ctx: Context, error: unknown): Promise<void> {
    const answer = toAcmeError(error);
    const { status, message } = answer;
    if (status === 500) log.error({ request: ctx.state.requestId, err: error }, 'request failed');
    const { detail } = addNote({ status, detail: message }, ctx.state.badCertificate);
    ctx.state.reason = describeError(error);
    if (isRefusal(status)) await refusals.note(toRefusal(ctx, error, detail));
    writeProblem(ctx, answer, detail, clock.now());
  }

  return async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.set('Link', index);
    try {
      noteClient(ctx, clients.isTrustedProxy);
      await next();
    } catch (error) {
      await answerError(ctx, error);
    }
    ctx.set('Replay-Nonce', nonces.make()); // also of a GET, as it spares the client a newNonce
  };
}

function writeProblem(ctx: Context, answer: AcmeError, detail: string, now: number): void {
  ctx.status = answer.status;
  for (const [name, value] of Object.entries(answer.headers ?? {})) ctx.append(name, value);
  const retryAfter = toRetryAfter(answer, now);
  if (retryAfter) ctx.set('Retry-After', retryAfter);
  ctx.body = JSON.stringify({ ...toProblem(answer, `urn:uuid:${ctx.state.requestId}`), detail });
  ctx.type = 'application/problem+json';
}
