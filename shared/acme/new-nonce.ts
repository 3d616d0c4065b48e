import { type HttpAnswer, nonceOf } from './objects.ts';

/** RFC 8555 section 7.2 has both; some CAs know only one of them. */
export type NonceMethod = 'GET' | 'HEAD';

/**
 * Asks for a new nonce, also by the other method where the CA does not know the one.
 *
 * @param first what the CA knew last
 * @returns the answer, and the method that it is to
 */
export async function askForNonce(
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
