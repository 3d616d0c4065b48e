import type { ClientRequest, IncomingMessage, Agent as PlainAgent, ProxyEnv } from 'node:http';
import { type RequestOptions, Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { type Clock, systemClock } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { http } from '../base/http.ts';
import { isLoopback } from '../base/identifier.ts';
import { type Directory, parseDirectory } from './directory.ts';
import { fetchNonce, type NonceMethod } from './new-nonce.ts';
import { type HttpAnswer, parseBody } from './objects.ts';
import { mayName } from './reach.ts';

/** What all requests of one process to one CA share: connections, nonces, the directory. */
export type CaConnection = {
  directoryUrl: string;
  userAgent: string;
  agent: PlainAgent;
  plainAgent: PlainAgent;
  nonces: NoncePool;
  /** By which the CA gave a nonce last. GET first: Node closes a kept-alive connection after a HEAD without
   * Content-Length. */
  nonceMethod: NonceMethod;
  clock: Clock;
  directory?: { answer: Directory; at: number };
};

/** Milliseconds that a CA has for one answer. */
export const REQUEST_TIMEOUT = 30_000;
const LARGEST_ANSWER = 1024 * 1024;
const DIRECTORY_AGE = 3_600_000;
/** A worker drives no more orders at once, and each brings back the one that it took. */
const MOST_NONCES = 1_000;
const OLDEST_NONCE = 60_000;

/**
 * Opens what all requests to one CA share; asks nothing yet. Dispose of it to close its connections.
 *
 * @param options `directoryUrl`: RFC 8555 section 7.1.1; `userAgent`: section 6.1; `ca`: PEM certificates of
 *   the authorities to trust in place of the system's; `proxy`: what leads to the CA, and the hosts that need
 *   none; `clock`: where a test turns the time
 */
export function openCaConnection(options: {
  directoryUrl: string;
  userAgent: string;
  clock?: Clock;
  ca?: string[] | undefined;
  proxy?: ProxyEnv | undefined;
}): CaConnection & Disposable {
  const { directoryUrl, userAgent, clock = systemClock } = options;
  const keepAlive = { keepAlive: true, keepAliveMsecs: 10_000, scheduling: 'lifo' as const };
  const { ca, proxy } = options;
  // The timeout is that of a proxy's tunnel.
  const through = proxy && { proxyEnv: proxy, timeout: REQUEST_TIMEOUT };
  const agent = new OneTrustAgent({ ...keepAlive, ...(ca && { ca }), ...through });
  const plainAgent = new http.Agent(keepAlive);
  return {
    directoryUrl,
    userAgent,
    agent,
    plainAgent,
    nonces: new NoncePool(),
    nonceMethod: 'GET',
    clock,
    [Symbol.dispose]() {
      agent.destroy();
      plainAgent.destroy();
    },
  };
}

/**
 * All of its connections are opened with the same trust, so that host and port tell them apart. Node's name
 * holds all that TLS can be given, the authorities' certificates too, and is made anew thrice a request.
 */
class OneTrustAgent extends TlsAgent {
  override getName({ host, port }: RequestOptions = {}): string {
    return `${host}:${port}`;
  }
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
  const answer = await sendRequest(connection, { url: directoryUrl, signal, timeout });
  connection.directory = { answer: parseDirectory(answer, clock.now()), at: clock.now() };
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
  const ask = (method: NonceMethod) => sendRequest(connection, { url, method, signal, timeout });
  const { nonce, method } = await fetchNonce(ask, connection.nonceMethod, clock);
  connection.nonceMethod = method;
  return nonce; // not through the pool, where another request may be quicker
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

/** `body` is sent as JSON by POST; without it the request is a GET, or a HEAD. `timeout` in milliseconds. */
type CaRequest = {
  url: string;
  body?: object;
  method?: NonceMethod;
  signal: AbortSignal;
  timeout?: number;
};

/**
 * One request, one answer: no retry, no redirect, whatever the status.
 *
 * @throws IssuanceError `unavailable` when there is no answer, `unexpected` when it is too large; or the
 *   signal's reason
 */
export async function sendRequest(connection: CaConnection, request: CaRequest): Promise<HttpAnswer> {
  const { signal, timeout = REQUEST_TIMEOUT } = request;
  signal.throwIfAborted();
  const target = checkUrl(request.url, connection);
  const sent = send(connection, target, request);
  // One timer and one listener: AbortSignal.any and .timeout cost more than all else in the request.
  let late = false;
  const abort = () => {
    sent.destroy();
    sent.emit('error', new Error('cut off')); // while it waits for a proxy's tunnel, Node says nothing of it
  };
  const timer = setTimeout(() => {
    late = true;
    abort();
  }, timeout);
  signal.addEventListener('abort', abort);
  try {
    return await answerTo(sent, request.url);
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
function checkUrl(url: string, { directoryUrl }: CaConnection): URL {
  const target = URL.parse(url);
  const isSafe =
    target?.protocol === 'https:' || (target?.protocol === 'http:' && isLoopback(target.hostname));
  if (!target || !isSafe) throw new IssuanceError('unexpected', 'the CA named a URL that is not https');
  if (directoryUrl.startsWith(`${target.origin}/`) || mayName(directoryUrl, target.hostname)) return target;
  throw new IssuanceError('unexpected', `the CA named a URL inside this network: ${target.hostname}`);
}

function send(
  { agent, plainAgent, userAgent }: CaConnection,
  target: URL,
  { body, method = 'GET' }: CaRequest,
): ClientRequest {
  const secure = target.protocol === 'https:';
  const text = body && JSON.stringify(body);
  const { hostname: host, port, path, auth } = urlToHttpOptions(target);
  // A list is sent as it is; Node sets and checks one by one what comes in an object.
  const headers = ['Host', target.host, 'User-Agent', userAgent];
  if (auth) headers.push('Authorization', `Basic ${Buffer.from(auth).toString('base64')}`);
  if (text)
    headers.push('Content-Type', 'application/jose+json', 'Content-Length', `${Buffer.byteLength(text)}`);
  const request = (secure ? tlsRequest : http.request)({
    ...{ host, port, path, headers, method: text ? 'POST' : method },
    agent: secure ? agent : plainAgent,
  });
  request.end(text);
  return request;
}

async function answerTo(request: ClientRequest, url: string): Promise<HttpAnswer> {
  const { response, body } = await new Promise<{ response: IncomingMessage; body: string }>(
    (resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      request.on('error', reject).on('response', response => {
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size <= LARGEST_ANSWER) return;
          reject(new IssuanceError('unexpected', "the CA's answer is too large"));
          request.destroy();
        });
        response.on('end', () => resolve({ response, body: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      });
    },
  );
  const headers = response.headers as HttpAnswer['headers']; // but for Set-Cookie, which nothing reads
  return { url, status: response.statusCode ?? 0, headers, data: parseBody(headers['content-type'], body) };
}
