import type { Context } from 'koa';
import type { Clock } from '../../shared/base/clock.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { fromSignFailure, type SignResult } from '../../shared/queue/sign-job-data.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { parsePrefer } from './prefer.ts';

const COME_BACK = 5_000;

export type Waiting = {
  clock: Clock;
  /** Seconds that a client is held at most. */
  wait: number;
  /** Fires when the intake stops: nobody is held then. */
  stopping: AbortSignal;
};

/**
 * Waits for a job's result as long as the client wants and `wait` allows, and answers with it: 200 or the failure's
 * error, 202 to a client that asked for it (RFC 7240), else a 503, as a plain `wget` must never save anything but a
 * certificate as a success.
 *
 * @returns `unanswered` when the caller has to send a plain client away
 */
export async function answerResult(
  ctx: Context,
  jobId: string,
  parts: Waiting & { signQueue: SignQueue },
): Promise<'finished' | 'accepted' | 'unanswered'> {
  const prefer = parsePrefer(ctx.get('Prefer'));
  const seconds = Math.min(prefer.wait ?? (prefer.async ? 0 : parts.wait), parts.wait);
  ctx.state.job = jobId;
  const patience = AbortSignal.any([AbortSignal.timeout(seconds * 1000), parts.stopping, whenGone(ctx)]);
  const result = await parts.signQueue.result(jobId, patience);
  if (result) {
    answerFinished(ctx, result);
    return 'finished';
  }
  if (!prefer.async || parts.stopping.aborted) return 'unanswered';
  answerAccepted(ctx, jobId, prefer.wait !== undefined);
  return 'accepted';
}

/** The error for a plain client whose job goes on without it. */
export function stillWorking(parts: Waiting): IssuanceError {
  return comeBack(parts, 'the certificate is still being worked on', 'post the same CSR again');
}

/** @param advice what brings the client to the result */
export function comeBack({ clock, stopping }: Waiting, state: string, advice: string): IssuanceError {
  const why = stopping.aborted ? 'the server restarts' : state;
  return new IssuanceError('unavailable', `${why}: ${advice}`, { retryAfter: clock.now() + COME_BACK });
}

export function answerChain(ctx: Context, chain: string): void {
  ctx.status = 200;
  ctx.type = 'application/pem-certificate-chain';
  ctx.body = chain;
}

function answerFinished(ctx: Context, result: SignResult): void {
  if (result.outcome === 'failed') throw fromSignFailure(result.error);
  answerChain(ctx, result.chain);
}

function answerAccepted(ctx: Context, jobId: string, waited: boolean): void {
  ctx.status = 202;
  ctx.set('Location', `/sign/${jobId}`);
  ctx.set('Retry-After', String(COME_BACK / 1000));
  ctx.set('Preference-Applied', waited ? 'wait' : 'respond-async');
  ctx.type = 'text/plain; charset=utf-8';
  ctx.body = `the certificate is being worked on: fetch /sign/${jobId}\n`;
}

/** Fires when the client goes away: its waiter goes, the job stays. */
export function whenGone(ctx: Context): AbortSignal {
  const gone = new AbortController();
  ctx.res.once('close', () => gone.abort());
  return gone.signal;
}
