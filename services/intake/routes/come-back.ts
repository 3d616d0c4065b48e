import type { Context } from 'koa';
import type { Clock } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';

// What a client gets that has to come again for what it asked for.

const COME_BACK = 5_000;

export function answerAccepted(ctx: Context, jobId: string, waited: boolean): void {
  ctx.status = 202;
  ctx.set('Location', `/sign/${jobId}`);
  ctx.set('Retry-After', String(COME_BACK / 1000));
  ctx.set('Preference-Applied', waited ? 'wait' : 'respond-async');
  ctx.type = 'text/plain; charset=utf-8';
  ctx.body = `the certificate is being worked on: fetch /sign/${jobId}\n`;
}

type Stopping = {
  clock: Clock;
  /** Fires when the intake stops. */
  stopping: AbortSignal;
};

/** The 503 for a plain client whose job goes on without it. */
export function stillWorking(waiting: Stopping): IssuanceError {
  return comeBack(waiting, 'the certificate is still being worked on', 'post the same CSR again');
}

/** @param advice what brings the client to the result */
export function comeBack({ clock, stopping }: Stopping, state: string, advice: string): IssuanceError {
  const why = stopping.aborted ? 'the server restarts' : state;
  return new IssuanceError('unavailable', `${why}: ${advice}`, { retryAfter: clock.now() + COME_BACK });
}
