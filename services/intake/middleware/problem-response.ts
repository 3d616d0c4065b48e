import type { Context, Middleware } from 'koa';
import { HttpError } from 'koa';
import type { Clock } from '../../../shared/base/clock.ts';
import {
  describeError,
  IssuanceError,
  type IssuanceErrorCode,
  type Problem,
} from '../../../shared/base/errors.ts';
import type { Log } from '../../../shared/base/log.ts';

/** Turns every error into an answer: one line of text, or a problem document (RFC 9457) for who asks for JSON. */
export function problemResponse(clock: Clock, log: Log): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const answer = toAnswer(error);
      if (answer.status === 500) log.error({ request: ctx.state.requestId, err: error }, 'request failed');
      ctx.state.reason = describeError(error);
      ctx.status = answer.status;
      ctx.set(answer.headers);
      if (answer.retryAfter !== undefined)
        ctx.set('Retry-After', secondsUntil(answer.retryAfter, clock.now()));
      else if (answer.status === 503) ctx.set('Retry-After', '5');
      else if (answer.status === 429) ctx.set('Retry-After', '3600');
      writeProblem(ctx, answer);
    }
  };
}

type Answer = {
  status: number;
  detail: string;
  headers: Record<string, string>;
  /** Milliseconds since the epoch. */
  retryAfter?: number | undefined;
  problem?: Problem | undefined;
};

function toAnswer(error: unknown): Answer {
  if (error instanceof IssuanceError) {
    const { message, retryAfter, problem } = error;
    return { status: toStatus(error.code), detail: message, headers: {}, retryAfter, problem };
  }
  if (error instanceof HttpError && error.expose) {
    const headers = (error.headers ?? {}) as Record<string, string>;
    return { status: error.statusCode, detail: error.message, headers };
  }
  return { status: 500, detail: 'internal error', headers: {} };
}

/** The one place where an error's code becomes a status. */
function toStatus(code: IssuanceErrorCode): number {
  switch (code) {
    case 'denied':
      return 403;
    case 'unknown':
      return 404;
    case 'badCsr':
      return 415;
    case 'challengeFailed':
      return 421;
    case 'rateLimited':
      return 429;
    case 'unavailable':
    case 'gone':
      return 503;
    case 'misconfigured':
    case 'unexpected':
      return 500;
  }
}

function secondsUntil(time: number, now: number): string {
  return String(Math.max(1, Math.ceil((time - now) / 1000)));
}

const JSON_TYPES = ['application/problem+json', 'application/json'];

function writeProblem(ctx: Context, { status, detail, problem }: Answer): void {
  const type = ctx.accepts('text/plain', ...JSON_TYPES);
  if (typeof type !== 'string' || !JSON_TYPES.includes(type)) {
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = `${detail.replace(/\s+/g, ' ')}\n`;
    return;
  }
  ctx.body = JSON.stringify({
    type: problem?.type ?? 'about:blank',
    status,
    detail,
    instance: `urn:uuid:${ctx.state.requestId}`,
    ...(problem?.identifier && { identifier: problem.identifier }),
    ...(problem?.subproblems && { subproblems: problem.subproblems }),
  });
  ctx.type = 'application/problem+json';
}
