import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { tokenPattern } from '../../shared/acme/objects.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import type { ChallengeResponses } from '../../shared/solver/http01.ts';

const PATH = '/.well-known/acme-challenge/';

/**
 * Answers http-01 challenges (RFC 8555 section 8.3). Bare `node:http`, as it has one path and is asked by the CA's
 * several vantage points at once. A token that is not known is a 404, and a Redis that is away a 503, so that nginx can
 * ask the next responder.
 */
export function createHttp01App(
  responses: Pick<ChallengeResponses, 'get'>,
  log: Log,
  metrics: Registry,
): RequestListener {
  const answers = new Counter({
    name: 'quarry_responder_answers_total',
    help: 'Answers to http-01 requests, by status',
    labelNames: ['status'],
    registers: [metrics],
  });

  const answer = (response: ServerResponse, status: number, type: string, body: string) => {
    answers.inc({ status });
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
    response.end(body); // Node leaves the body away where the request was HEAD
  };

  return (request: IncomingMessage, response: ServerResponse) => {
    const token = toToken(request);
    if (token === undefined) return answer(response, 404, 'text/plain', 'not found\n');
    responses.get(token).then(
      keyAuthorization => {
        log.debug({ token, found: keyAuthorization !== null }, 'challenge asked for');
        if (keyAuthorization === null) answer(response, 404, 'text/plain', 'not found\n');
        else answer(response, 200, 'application/octet-stream', keyAuthorization);
      },
      error => {
        log.warn({ reason: describeError(error) }, 'challenge cannot be looked up');
        answer(response, 503, 'text/plain', 'try again\n');
      },
    );
  };
}

/** The token of a request that can be for a challenge at all; Redis is asked for nothing else. */
function toToken({ method, url = '' }: IncomingMessage): string | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (!url.startsWith(PATH)) return undefined;
  const token = url.slice(PATH.length).split('?', 1)[0] ?? '';
  return tokenPattern.test(token) ? token : undefined;
}
