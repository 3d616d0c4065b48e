import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '../base/clock.ts';
import { USER_AGENT } from '../base/version.ts';
import type { Secret, WebhookConfig } from '../config/notify.ts';
import { type Message, toJson } from './message.ts';

/** Milliseconds from the look-up of the name to the head of the answer. */
const LONGEST_POST = 15_000;

/** The receiver wants no more of it. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/**
 * Posts a message as JSON, and follows no redirect: whoever it leads to would be told what was meant for another.
 *
 * @throws RefusedError for 410 Gone; Error for any other answer but 2xx, or none; without the URL, which may hold a token
 */
export async function postWebhook(
  { url, hmacKey, caFile }: WebhookConfig,
  message: Message,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const body = toJson(message);
  const ca = caFile === undefined ? undefined : await readFile(caFile);
  const { host, protocol } = new URL(url);
  const request = (protocol === 'https:' ? httpsRequest : httpRequest)(url, {
    method: 'POST',
    headers: {
      'User-Agent': USER_AGENT,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      ...(hmacKey && (await sign(hmacKey, body, clock.now()))),
    },
    agent: false, // rare as messages are, no connection is kept
    signal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_POST)]),
    ...(ca && { ca }),
  });
  request.end(body);
  const status = await answer(request);
  signal.throwIfAborted();
  if (status === 410) throw new RefusedError(`${host} answered 410: it wants no more`);
  if (status < 200 || status > 299) throw new Error(`${host} answered ${status}`);

  async function answer(posted: typeof request): Promise<number> {
    try {
      const [response] = (await once(posted, 'response')) as [IncomingMessage];
      posted.on('error', () => {}); // what comes after the head does not matter
      response.destroy();
      return response.statusCode ?? 0;
    } catch (error) {
      signal.throwIfAborted();
      const late = error instanceof Error && error.name === 'AbortError';
      if (late) throw new Error(`${host} did not answer within ${LONGEST_POST / 1_000} seconds`);
      throw new Error(`${host} cannot be reached`, { cause: error });
    }
  }
}

/** The time is signed too, so that who records a message cannot send it again later. */
async function sign(key: Secret, body: string, now: number): Promise<Record<string, string>> {
  const timestamp = `${Math.floor(now / 1000)}`;
  const text = 'text' in key ? key.text : (await readFile(key.file, 'utf8')).trim();
  const hmac = createHmac('sha256', text).update(`${timestamp}.${body}`).digest('hex');
  return { 'X-Quarry-Timestamp': timestamp, 'X-Quarry-Signature': `sha256=${hmac}` };
}
