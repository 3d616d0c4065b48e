import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ProxyEnv } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { Clock } from '../base/basics.ts';
import { http } from '../base/http.ts';
import { USER_AGENT } from '../base/version.ts';
import { readSecret, type Secret } from '../config/secret-file.ts';
import { type Message, toJson } from './message.ts';
import type { WebhookConfig } from './notify-section.ts';

/** How long a post may take, from the look-up of the name to the head of the answer; in milliseconds. */
const LONGEST_POST = 15_000;

/** The receiver refuses this message for good. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/**
 * Posts a message as JSON. It follows no redirect: that would give the message to somebody else.
 *
 * @throws RefusedError for 410 Gone, Error for any other answer than 2xx or for none; its message never holds
 *   the URL, which may hold a token
 */
export async function postWebhook(
  { url, hmacKey, caFile, proxy }: WebhookConfig,
  message: Message,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { host } = new URL(url);
  const body = toJson(message);
  const headers = {
    'User-Agent': USER_AGENT,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    ...(hmacKey && (await sign(hmacKey, body, clock.now()))),
  };
  const ca = caFile === undefined ? {} : { ca: await readFile(caFile) };
  const late = AbortSignal.timeout(LONGEST_POST);
  const posting = { ...ca, headers, signal: AbortSignal.any([signal, late]) };
  const status = await post(url, body, posting, proxy).catch(cause => {
    signal.throwIfAborted();
    if (late.aborted) throw new Error(`${host} did not answer within ${LONGEST_POST / 1_000} seconds`);
    throw new Error(`${host} cannot be reached`, { cause });
  });
  if (status === 410) throw new RefusedError(`${host} answered 410 and gets this message no more`);
  if (status < 200 || status > 299) throw new Error(`${host} answered ${status}`);
}

/** @returns the status of the answer; its body is not read */
async function post(
  url: string,
  body: string,
  options: RequestOptions & { signal: AbortSignal },
  proxy: ProxyEnv | undefined,
): Promise<number> {
  const secure = new URL(url).protocol === 'https:';
  const through = secure && proxy !== undefined;
  // Too rare to keep a connection; http is for this host alone.
  const agent = through ? new Agent({ proxyEnv: proxy, timeout: LONGEST_POST }) : false;
  const posted = (secure ? httpsRequest : http.request)(url, { ...options, method: 'POST', agent });
  posted.on('error', () => {}); // `once` rejects with it; after the head, errors do not matter
  posted.end(body);
  // By the signal too, as Node says nothing of a request that is ended while it waits for a proxy's tunnel.
  const [response] = (await once(posted, 'response', options)) as [IncomingMessage];
  response.destroy();
  return response.statusCode ?? 0;
}

/** Signs the time too, so that a recorded message cannot be sent again later. */
async function sign(key: Secret, body: string, now: number): Promise<Record<string, string>> {
  const timestamp = `${Math.floor(now / 1000)}`;
  const text = readSecret(key);
  const hmac = createHmac('sha256', text).update(`${timestamp}.${body}`).digest('hex');
  return { 'X-Quarry-Timestamp': timestamp, 'X-Quarry-Signature': `sha256=${hmac}` };
}
