import { HttpError } from 'koa';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../../shared/base/errors.ts';

export type Answer = {
  status: number;
  detail: string;
  headers: Record<string, string>;
  /** Milliseconds since the epoch. */
  retryAfter?: number | undefined;
  problem?: Problem | undefined;
};

/** What a client is told of an error: its own words and status, or those of a bug. */
export function toAnswer(error: unknown): Answer {
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

/** A refusal says that the certificate which the client shows does not count, as that may be all. */
export function addNote<Told extends Pick<Answer, 'status' | 'detail'>>(
  answer: Told,
  badCertificate: string | undefined,
): Told {
  if (answer.status !== 403 || badCertificate === undefined) return answer;
  return { ...answer, detail: `${answer.detail}; the ${badCertificate}` };
}

/** The only switch from an error's code to a status. */
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

/** Seconds; a 503 and a 429 always have them. */
export function toRetryAfter(
  { status, retryAfter }: Pick<Answer, 'status' | 'retryAfter'>,
  now: number,
): string | undefined {
  if (retryAfter !== undefined) return String(Math.max(1, Math.ceil((retryAfter - now) / 1000)));
  if (status === 503) return '5';
  return status === 429 ? '3600' : undefined;
}
