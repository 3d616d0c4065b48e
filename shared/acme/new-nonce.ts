import type { Clock } from '../base/basics.ts';
import { type HttpAnswer, nonceOf, parseRetryAfter } from './objects.ts';
import { toIssuanceError } from './problem.ts';

/** RFC 8555 section 7.2 has both; some CAs know only one of them. */
export type NonceMethod = 'GET' | 'HEAD';

/**
 * Asks for a new nonce, also by the other method where the CA does not know the one.
 *
 * @param first what the CA knew last
 * @returns the nonce, and the method that brought it
 * @throws IssuanceError when the CA gives none
 */
export async function fetchNonce(
  ask: (method: NonceMethod) => Promise<HttpAnswer>,
  first: NonceMethod,
  clock: Clock,
): Promise<{ nonce: string; method: NonceMethod }> {
  const { answer, method } = await askForNonce(ask, first);
  const nonce = nonceOf(answer);
  if (nonce) return { nonce, method };
  const retryAfter = parseRetryAfter(answer.headers['retry-after'], clock.now());
  throw toIssuanceError({ ...answer, retryAfter }, 'the CA gave no nonce');
}

async function askForNonce(
  ask: (method: NonceMethod) => Promise<HttpAnswer>,
  first: NonceMethod,
): Promise<{ answer: HttpAnswer; method: NonceMethod }> {
  const answer = await ask(first);
  if (nonceOf(answer) || isBusy(answer)) return { answer, method: first };
  const method = first === 'GET' ? 'HEAD' : 'GET';
  const other = await ask(method);
  return nonceOf(other) || isBusy(other) ? { answer: other, method } : { answer, method: first };
}

/** It would give a nonce at another time. */
const isBusy = ({ status }: HttpAnswer) => status === 429 || (status >= 500 && status !== 501);
