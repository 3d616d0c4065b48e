import type { ClientRequest, IncomingMessage, Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { type Clock, describeError, IssuanceError, systemClock } from '../base/basics.ts';
import { http } from '../base/http.ts';
import { isLoopback } from '../base/identifier.ts';
import { type Directory, type HttpAnswer, parseRetryAfter, toDirectory } from './objects.ts';
import { toIssuanceError } from './problem.ts';

/** What all requests of one process to one CA share: connections, nonces, the directory. */
export type CaConnection = {
  directoryUrl: string;
  userAgent: string;
  agent: PlainAgent;
  plainAgent: PlainAgent;
  nonces: NoncePool;
  clock: Clock;
  directory?: { answer: Directory; at: number };
};

/** Milliseconds that a CA has for one answer. */
export const REQUEST_TIMEOUT = 30_000;
const LARGEST_ANSWER = 1024 * 1024;
const DIRECTORY_AGE = 3_600_000;
const MOST_NONCES = 32;
const OLDEST_NONCE = 60_000;

/**
 * Opens what all requests to one CA share; asks nothing yet. Dispose of it to close its connections.
 *
 * @param options `directoryUrl`: RFC 8555 section 7.1.1; `userAgent`: section 6.1; `ca`: PEM certificates of
 *   the authorities to trust in place of the system's; `clock`: where a test turns the time
 */
export function openCaConnection(options: {
  directoryUrl: string;
  userAgent: string;
  clock?: Clock;
  ca?: string[] | undefined;
}): CaConnection & Disposable {
  const { directoryUrl, userAgent, clock = systemClock } = options;
  const keepAlive = { keepAlive: true, keepAliveMsecs: 10_000, scheduling: 'lifo' as const };
  const agent = new TlsAgent(options.ca ? { ...keepAlive, ca: options.ca } : keepAlive);
  const plainAgent = new http.Agent(keepAlive);
  return {
    directoryUrl,
    userAgent,
    agent,
    plainAgent,
    nonces: new NoncePool(),
    clock,
    [Symbol.dispose]() {
      agent.destroy();
      plainAgent.destroy();
    },
  };
}

/**
 * The CA's directory (RFC 8555 section 7.1.1), at most an hour old.
 *
 * @throws IssuanceError `unavailable` when it cannot be had
 */
export async function readDirectory(
  connection: CaConnection,
  signal: AbortSignal,
  timeout = REQUEST_TIMEOUT,
): Promise<Directory> {
  const { directoryUrl, directory, clock } = connection;
  if (directory && clock.now() - directory.at < DIRECTORY_AGE) return directory.answer;
  const { status, headers, data } = await sendRequest(connection, { url: directoryUrl, signal, timeout });
  if (status !== 200 || typeof data !== 'object' || data === null) {
    const retryAfter = parseRetryAfter(headers['retry-after'], clock.now());
    const detail = `${directoryUrl} is no ACME directory (status ${status})`;
    throw new IssuanceError('unavailable', detail, { retryAfter });
  }
  connection.directory = { answer: toDirectory(data as Record<string, unknown>), at: clock.now() };
  return connection.directory.answer;
}

/**
 * A nonce that the CA has not seen yet (RFC 8555 section 6.5), from the pool or by a request of its own.
 *
 * @throws IssuanceError when the CA gives none
 */
export async function takeNonce(
  connection: CaConnection,
  signal: AbortSignal,
  timeout: number,
): Promise<string> {
  const { nonces, clock } = connection;
  const pooled = nonces.take(clock.now());
  if (pooled) return pooled;
  const url = resourceUrl(await readDirectory(connection, signal, timeout), 'newNonce');
  // GET and not HEAD: Node closes a kept-alive connection after a HEAD without Content-Length (section 7.2
  // allows both).
  const answer = await sendRequest(connection, { url, signal, timeout });
  const fresh = nonceOf(answer); // not through the pool, where another request may be quicker
  if (fresh) return fresh;
  const retryAfter = parseRetryAfter(answer.headers['retry-after'], clock.now());
  throw toIssuanceError({ ...answer, retryAfter }, 'the CA gave no nonce');
}

/** RFC 8555 section 6.5.1: base64url, and nothing else may be used. */
export function nonceOf({ headers }: HttpAnswer): string | undefined {
  const nonce = headers['replay-nonce'];
  return nonce && /^[\w-]{1,512}$/.test(nonce) ? nonce : undefined;
}

/** @throws IssuanceError `unexpected` where the directory does not name the resource */
export function resourceUrl(directory: Directory, resource: keyof Directory['urls']): string {
  const url = directory.urls[resource];
  if (url === undefined) {
    throw new IssuanceError('unexpected', `the CA's directory names no ${resource}`);
  }
  return url;
}

/**
 * Nonces that a CA handed out with its answers, one pool per CA and process. Last in, first out: the freshest
 * is the least likely to have been forgotten by the CA.
 */
class NoncePool {
  #nonces: { value: string; at: number }[] = [];

  /** @param now milliseconds since the epoch */
  put(value: string, now: number): void {
    this.#nonces.push({ value, at: now });
    if (this.#nonces.length > MOST_NONCES) this.#nonces.shift();
  }

  /** A nonce of the last minute, handed out once; `undefined` when there is none. */
  take(now: number): string | undefined {
    const last = this.#nonces.pop();
    if (last && now - last.at <= OLDEST_NONCE) return last.value;
    this.#nonces = [];
    return undefined;
  }
}

/** `body` is sent as JSON by POST; without it the request is a GET. `timeout` in milliseconds. */
type CaRequest = { url: string; body?: object; signal: AbortSignal; timeout?: number };

/**
 * One request, one answer: no retry, no redirect, whatever the status.
 *
 * @throws IssuanceError `unavailable` when there is no answer, `unexpected` when it is too large; or the
 *   signal's reason
 */
export async function sendRequest(connection: CaConnection, request: CaRequest): Promise<HttpAnswer> {
  const { signal, timeout = REQUEST_TIMEOUT } = request;
  signal.throwIfAborted();
  const target = checkUrl(request.url);
  const sent = send(connection, target, request.body);
  // One timer and one listener: AbortSignal.any and .timeout cost more than all else in the request.
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    sent.destroy();
  }, timeout);
  const abort = () => sent.destroy();
  signal.addEventListener('abort', abort);
  try {
    return await answerTo(sent);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof IssuanceError) throw error;
    const reason = late ? `no answer within ${Math.round(timeout / 1000)} seconds` : describeError(error);
    const detail = `the CA at ${target.host} cannot be reached: ${reason}`;
    throw new IssuanceError('unavailable', detail, { cause: error });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

/** Account keys sign whatever URL the CA names: only https, but for a CA on this very machine. */
function checkUrl(url: string): URL {
  const target = URL.parse(url);
  if (target?.protocol === 'https:') return target;
  if (target?.protocol === 'http:' && isLoopback(target.hostname)) return target;
  throw new IssuanceError('unexpected', 'the CA named a URL that is not https');
}

function send(
  { agent, plainAgent, userAgent }: CaConnection,
  target: URL,
  body: object | undefined,
): ClientRequest {
  const secure = target.protocol === 'https:';
  const text = body && JSON.stringify(body);
  const jose = text && {
    'Content-Type': 'application/jose+json',
    'Content-Length': Buffer.byteLength(text),
  };
  const request = (secure ? tlsRequest : http.request)(target, {
    method: text ? 'POST' : 'GET',
    agent: secure ? agent : plainAgent,
    headers: { 'User-Agent': userAgent, ...jose },
  });
  request.end(text);
  return request;
}

async function answerTo(request: ClientRequest): Promise<HttpAnswer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject);
  });
  const body = await new Promise<string>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size <= LARGEST_ANSWER) return;
      reject(new IssuanceError('unexpected', "the CA's answer is too large"));
      request.destroy();
    });
    response.on('end', () => resolve(Buffer.concat(chunks).toString()));
    response.on('error', reject);
  });
  const headers: HttpAnswer['headers'] = {};
  for (const [name, value] of Object.entries(response.headers)) {
    headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return { status: response.statusCode ?? 0, headers, data: parseBody(headers['content-type'], body) };
}

function parseBody(contentType: string | undefined, text: string): unknown {
  if (!/^application\/(\w+\+)?json\b/.test(contentType ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new IssuanceError('unavailable', 'the CA answered with damaged JSON', { cause: error });
  }
}
