import type { ProxyEnv } from 'node:http';
import { type Clock, systemClock } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { isLoopback } from '../base/identifier.ts';
import { type Directory, parseDirectory } from './directory.ts';
import { type Exchange, Exchanges, type Sent } from './exchange.ts';
import { fetchNonce, type NonceMethod } from './new-nonce.ts';
import { type HttpAnswer, parseBody } from './objects.ts';
import { ProxiedExchanges } from './proxied-exchange.ts';
import { mayName } from './reach.ts';
import { REQUEST_TIMEOUT } from './read-answer.ts';

/** What all requests of one process to one CA share: connections, nonces, the directory. */
export type CaConnection = {
  directoryUrl: string;
  userAgent: string;
  /** Sends a request, and gets its answer. */
  exchange(target: URL, sent: Sent): Exchange;
  nonces: NoncePool;
  /** By which the CA gave a nonce last. */
  nonceMethod: NonceMethod;
  clock: Clock;
  directory?: { answer: Directory; at: number };
};

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
  if (/[^\t\x20-\x7e]/.test(userAgent)) throw new TypeError('the user agent is more than plain ASCII');
  const { ca, proxy } = options;
  const direct = new Exchanges(ca);
  const proxied = proxy && new ProxiedExchanges(proxy, ca);
  return {
    directoryUrl,
    userAgent,
    // http is for this host alone.
    exchange: (target, sent) =>
      (target.protocol === 'https:' ? (proxied ?? direct) : direct).begin(target, sent),
    nonces: new NoncePool(),
    nonceMethod: 'GET',
    clock,
    [Symbol.dispose]() {
      direct[Symbol.dispose]();
      proxied?.[Symbol.dispose]();
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
  const { url, signal, timeout = REQUEST_TIMEOUT } = request;
  signal.throwIfAborted();
  const target = checkUrl(url, connection);
  const { answer, cut } = connection.exchange(target, toSent(connection, target, request));
  // One timer and one listener: AbortSignal.any and .timeout cost more than all else in the request.
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    cut();
  }, timeout);
  signal.addEventListener('abort', cut);
  try {
    const { status, headers, body } = await answer;
    return { url, status, headers, data: parseBody(headers['content-type'], body) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof IssuanceError) throw error;
    const reason = late ? `no answer within ${Math.round(timeout / 1000)} seconds` : describeError(error);
    const detail = `the CA at ${target.host} cannot be reached: ${reason}`;
    throw new IssuanceError('unavailable', detail, { cause: error });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cut);
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

function toSent({ userAgent }: CaConnection, target: URL, { body, method = 'GET' }: CaRequest): Sent {
  const text = body && JSON.stringify(body);
  const headers = ['User-Agent', userAgent];
  if (target.username !== '' || target.password !== '') headers.push('Authorization', toBasic(target));
  if (text === undefined) return { method, headers };
  const length = `${Buffer.byteLength(text)}`;
  headers.push('Content-Type', 'application/jose+json', 'Content-Length', length);
  return { method: 'POST', headers, body: text };
}

function toBasic({ username, password }: URL): string {
  try {
    const credentials = [username, password].map(decodeURIComponent).join(':');
    return `Basic ${Buffer.from(credentials).toString('base64')}`;
  } catch {
    throw new IssuanceError('unexpected', 'the CA named a URL whose user or password is damaged');
  }
}
