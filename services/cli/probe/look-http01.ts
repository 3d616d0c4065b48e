import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import type { ChallengeResponse } from '../../../shared/solver/solver.ts';

const LONGEST_ANSWER = 200;

/**
 * Asks a listener of a responder as nginx or the CA would.
 *
 * @throws Error with what is wrong, in one line
 */
export async function lookHttp01(
  { host, port }: { host: string; port: number },
  { identifier, token, keyAuthorization }: ChallengeResponse,
  signal: AbortSignal,
): Promise<void> {
  const headers = { Host: identifier.value };
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = get({
      host,
      port,
      path: `/.well-known/acme-challenge/${token}`,
      headers,
      signal,
      agent: false,
    });
    request.on('error', reject).on('response', response => {
      text(response).then(body => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
  });
  if (answer.status === 200 && answer.body.trimEnd() === keyAuthorization) return;
  if (answer.status === 404)
    throw new Error('answers, but does not know the test token: another Redis, or no responder');
  throw new Error(
    `answers ${answer.status}, and not as a responder does: ${answer.body.trim().slice(0, LONGEST_ANSWER)}`,
  );
}
