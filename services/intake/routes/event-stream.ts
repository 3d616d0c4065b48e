import { hash } from 'node:crypto';
import { once } from 'node:events';
import type { Context } from 'koa';
import { type Clock, linkSignals } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { describeProgress, nextLook } from '../../../shared/issue/progress.ts';
import type { IssuedCertificate, Issuing } from '../../../shared/issue/request-certificate.ts';
import { addNote, toAnswer, toRetryAfter } from '../to-answer.ts';
import { parsePrefer, stillWorking } from './come-back.ts';
import { patienceOf, type Waiting } from './sign.ts';

// `GET /sign/<id>` for who wants to hear what is going on: server-sent events (HTML, section 9.2).

/** Milliseconds. */
const BETWEEN_EVENTS = 1_000;
/** Proxies end what is silent for longer, many after a minute and some after half of one. */
const LONGEST_SILENCE = 15_000;
const COME_AGAIN = 5_000;
/** Far longer than the silence, after which something is written in any case. */
const STALLED = 60_000;
/** The id of the last event of a job that has ended: a browser's EventSource comes again with it. */
const END = 'end';
const AWAY = 'waiting for Redis, which cannot be reached';

/** Whether a client names event streams among what it takes: a bare wildcard does not mean them. */
export const wantsEvents = (ctx: Context) =>
  ctx.accepts('application/pem-certificate-chain', 'text/plain', 'text/event-stream') === 'text/event-stream';

/** @param data one line or several */
export function toEvent(event: string, data: string, id?: string): string {
  const lines = data.trimEnd().split(/\r\n|\r|\n/);
  const fields = [`event: ${event}`, ...(id === undefined ? [] : [`id: ${id}`])];
  return `${[...fields, ...lines.map(line => `data: ${line}`)].join('\n')}\n\n`;
}

/** So that who comes again is not told what it knows, by whichever intake. */
const idOf = (line: string) => hash('sha256', line).slice(0, 12);

type Parts = {
  issuing: Pick<Issuing, 'result' | 'progress' | 'listen'>;
  waiting: Waiting;
  /** To be awaited before a client gets the certificate. */
  handOut(certificate: IssuedCertificate): Promise<void>;
};

/**
 * Tells what is going on with a job, each time in the newest state and at most once a second, until the job
 * has ended, or its client has waited for as long as a plain one may. What a plain client would be answered
 * then is the last event.
 *
 * @throws that answer where it is no certificate, once it is sent, for the log and the trail
 */
export async function answerEvents(
  ctx: Context,
  job: { id: string; block: string },
  parts: Parts,
): Promise<void> {
  ctx.state.job = job.id;
  if (ctx.get('Last-Event-ID') === END) {
    ctx.status = 204; // which ends an EventSource
    return;
  }
  begin(ctx, parts.waiting.stalled ?? STALLED);
  if (ctx.method === 'HEAD') return void ctx.res.end();
  try {
    await tellUntilEnd(ctx, job, parts);
  } catch (error) {
    await send(ctx, toFailure(ctx, error, parts.waiting.clock.now()));
    throw error;
  } finally {
    ctx.res.end();
  }
}

async function tellUntilEnd(
  ctx: Context,
  job: { id: string; block: string },
  { issuing, waiting, handOut }: Parts,
): Promise<void> {
  const { wait } = parsePrefer(ctx.get('Prefer'));
  using patience = patienceOf(ctx, waiting, Math.min(wait ?? waiting.wait, waiting.wait));
  const result = issuing.result(job.id, patience.signal);
  const ended = new AbortController();
  result.finally(() => ended.abort()).catch(() => {}); // whoever awaits it hears of it
  await send(ctx, `retry: ${COME_AGAIN}\n\n`);
  const known = ctx.get('Last-Event-ID');
  await tellProgress(ctx, { issuing, job, known, clock: waiting.clock, ended: ended.signal });
  const certificate = await result;
  if (!certificate) throw stillWorking(waiting);
  await handOut(certificate);
  await send(ctx, toEvent('progress', 'issued') + toEvent('certificate', certificate.chain, END));
}

/** @param stalled milliseconds after which a connection ends that takes nothing */
function begin(ctx: Context, stalled: number): void {
  ctx.status = 200;
  ctx.set({ 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store' });
  ctx.set('X-Accel-Buffering', 'no'); // nginx would hold events back
  ctx.set('Connection', 'close'); // else an intake that stops would wait for the client to end it
  ctx.respond = false;
  ctx.flushHeaders();
  ctx.res.setTimeout(stalled, () => ctx.res.destroy());
}

/** Resolves once the client has room for more: a slow one is told less, and nothing is kept for it. */
async function send({ res }: Context, text: string): Promise<void> {
  if (res.destroyed || res.write(text)) return;
  const gone = new AbortController();
  const leave = () => gone.abort();
  res.once('close', leave);
  await once(res, 'drain', { signal: gone.signal }).catch(() => {});
  res.off('close', leave);
}

type Telling = Pick<Parts, 'issuing'> & {
  job: { id: string; block: string };
  /** The id of the event that the client had last. */
  known: string;
  clock: Clock;
  ended: AbortSignal;
};

async function tellProgress(ctx: Context, { issuing, job, known, clock, ended }: Telling): Promise<void> {
  let [last, saidAt] = [known, clock.now()];
  let onMove = () => {};
  using _listening = issuing.listen(job.id, () => onMove());
  do {
    const move = Promise.withResolvers<void>();
    onMove = move.resolve;
    const { line, look } = await lookAt(issuing, job);
    const id = line === undefined ? last : idOf(line);
    const isSilent = clock.now() + look - saidAt > LONGEST_SILENCE;
    if (id !== last || isSilent) {
      await send(ctx, id === last ? ':\n\n' : toEvent('progress', line ?? '', id));
      [last, saidAt] = [id, clock.now()];
    }
    await rest(clock, BETWEEN_EVENTS, ended);
    await rest(clock, look - BETWEEN_EVENTS, ended, move.promise);
  } while (!ended.aborted);
}

/** Sleeps, but not longer than until the job has ended, or something `happens`. */
async function rest(
  clock: Clock,
  milliseconds: number,
  ended: AbortSignal,
  happens?: Promise<void>,
): Promise<void> {
  using sleeping = linkSignals(ended);
  const slept = clock.sleep(milliseconds, sleeping.signal).catch(() => {});
  await Promise.race(happens ? [slept, happens] : [slept]);
  sleeping.abort(undefined);
}

async function lookAt(issuing: Pick<Issuing, 'progress'>, { id, block }: Telling['job']) {
  try {
    const progress = await issuing.progress(id, block, true);
    return { line: progress && describeProgress(progress), look: nextLook(progress) };
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    return { line: error.code === 'unavailable' ? AWAY : undefined, look: nextLook(undefined) };
  }
}

/** What a plain client would be answered: its status and words, and its Retry-After on a line of its own. */
function toFailure(ctx: Context, error: unknown, now: number): string {
  const answer = addNote(toAnswer(error), ctx.state.badCertificate);
  const retryAfter = toRetryAfter(answer, now);
  const words = `${answer.status} ${answer.detail.replace(/\s+/g, ' ')}`;
  const hasEnded = answer.status !== 503;
  const event = toEvent(
    'no-certificate',
    retryAfter === undefined ? words : `${words}\nRetry-After: ${retryAfter}`,
    hasEnded ? END : undefined,
  );
  return hasEnded ? event : `retry: ${Number(retryAfter) * 1000}\n${event}`;
}
