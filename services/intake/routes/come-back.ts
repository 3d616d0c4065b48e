import type { Context } from 'koa';
import type { Clock } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { describeProgress } from '../../../shared/issue/progress.ts';
import type { Issuing } from '../../../shared/issue/request-certificate.ts';

// How a client says that it can come again for what it asked for, and what one gets that has to.

/** RFC 7240: how long a client is ready to wait, and that it can come back for the result. */
type Prefer = {
  /** The client understands 202. */
  async: boolean;
  /** Seconds; `undefined` when the client named none. */
  wait: number | undefined;
};

export const NO_PREFERENCE: Prefer = { async: false, wait: undefined };

/** @param header the Prefer header, several joined by commas; the first of a preference given twice counts */
export function parsePrefer(header: string): Prefer {
  const given = header.split(',').map((one): [string, string] => {
    const [name = '', value = ''] = (one.split(';')[0] ?? '').split('=');
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1')];
  });
  const preferences = new Map(given.reverse());
  const wait = preferences.get('wait');
  const seconds = wait !== undefined && /^\d{1,9}$/.test(wait) ? Number(wait) : undefined;
  return { async: preferences.has('respond-async') || seconds !== undefined, wait: seconds };
}

const COME_BACK = 5_000;

/** What is going on with a job, in one line, where that can be known now. */
export async function lineOf(
  issuing: Pick<Issuing, 'progress'>,
  { id, block }: { id: string; block: string },
): Promise<string | undefined> {
  const progress = await issuing.progress(id, block).catch(() => undefined);
  return progress && describeProgress(progress);
}

/** @param line what is going on with the job, where that is known */
export function answerAccepted(
  ctx: Context,
  jobId: string,
  waited: boolean,
  line = 'the certificate is being worked on',
): void {
  ctx.status = 202;
  ctx.set('Location', `/sign/${jobId}`);
  ctx.set('Retry-After', String(COME_BACK / 1000));
  ctx.set('Preference-Applied', waited ? 'wait' : 'respond-async');
  ctx.type = 'text/plain; charset=utf-8';
  ctx.body = `${line}: fetch /sign/${jobId}\n`;
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
