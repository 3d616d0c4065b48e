import type { KeyObject } from 'node:crypto';
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import HttpClient, { type HttpAnswer } from 'acme-client/src/http.js';
import type { Clock } from '../base/clock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { NoncePool } from './nonce-pool.ts';
import { parseProblem, problemKind, toIssuanceError } from './problem.ts';
import { parseRetryAfter } from './retry-after.ts';

const REQUEST_TIMEOUT = 30_000;
const LARGEST_ANSWER = 1024 * 1024;
const DIRECTORY_AGE = 3_600_000;
const BAD_NONCE_RETRIES = 10;

/** What all requests of one process to one CA share: connections, nonces, the directory. */
export type CaConnection = {
  directoryUrl: string;
  userAgent: string;
  agent: PlainAgent;
  plainAgent: PlainAgent;
  nonces: NoncePool;
  clock: Clock;
  directory?: { answer: Record<string, unknown>; at: number };
};

/** @param ca PEM certificates of the authorities to trust in place of the system's */
export function openCaConnection(options: {
  directoryUrl: string;
  userAgent: string;
  clock: Clock;
  ca?: string[] | undefined;
}): CaConnection & Disposable {
  const keepAlive = { keepAlive: true, keepAliveMsecs: 10_000, scheduling: 'lifo' as const };
  const agent = new TlsAgent(options.ca ? { ...keepAlive, ca: options.ca } : keepAlive);
  const plainAgent = new PlainAgent(keepAlive);
  return {
    ...options,
    agent,
    plainAgent,
    nonces: new NoncePool(),
    [Symbol.dispose]() {
      agent.destroy();
      plainAgent.destroy();
    },
  };
}

/**
 * acme-client's HTTP client with another engine: kept-alive connections, a nonce pool, a timeout and a signal on every
 * request, no retries and no sleeping but for `badNonce`. A failed answer is thrown as an `IssuanceError`.
 */
export class AcmeTransport extends HttpClient {
  readonly #connection: CaConnection;
  readonly #signal: AbortSignal;

  constructor(
    connection: CaConnection,
    account: { keyPem: string; key: KeyObject; eab?: { kid: string; hmacKey: string } | undefined },
    signal: AbortSignal,
  ) {
    super(connection.directoryUrl, Buffer.from(account.keyPem), account.eab);
    this.#connection = connection;
    this.#signal = signal;
    this.maxBadNonceRetries = BAD_NONCE_RETRIES;
    this.getJwk(); // cached by acme-client; from here on the parsed key saves a PEM parse per signature
    this.accountKey = account.key;
  }

  override async request(url: string, method: string, { data }: { data?: unknown } = {}): Promise<HttpAnswer> {
    const { nonces, clock } = this.#connection;
    const answer = await send(this.#connection, this.#signal, url, method, data);
    const nonce = nonceOf(answer);
    const badNonce = answer.status === 400 && problemKind(parseProblem(answer.data)) === 'badNonce';
    // acme-client itself takes the nonce of a badNonce answer for its retry, so the pool must not have it as well.
    if (nonce && !badNonce) nonces.put(nonce, clock.now());
    return answer;
  }

  override async getNonce(): Promise<string> {
    const { nonces, clock } = this.#connection;
    const pooled = nonces.take(clock.now());
    if (pooled) return pooled;
    // GET and not HEAD: Node closes a kept-alive connection after a HEAD without Content-Length (RFC 8555 section 7.2
    // allows both).
    const answer = await send(this.#connection, this.#signal, await this.getResourceUrl('newNonce'), 'get', undefined);
    const fresh = nonceOf(answer); // not by way of the pool, where another request may be quicker
    if (fresh) return fresh;
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], clock.now());
    throw toIssuanceError({ ...answer, retryAfter }, 'the CA gave no nonce');
  }

  override async getDirectory(): Promise<Record<string, unknown>> {
    const { directoryUrl, directory, clock } = this.#connection;
    if (directory && clock.now() - directory.at < DIRECTORY_AGE) return directory.answer;
    const { status, headers, data } = await this.request(directoryUrl, 'get');
    if (status !== 200 || typeof data !== 'object' || data === null) {
      const retryAfter = parseRetryAfter(headers['retry-after'], clock.now());
      const detail = `${directoryUrl} is no ACME directory (status ${status})`;
      throw new IssuanceError('unavailable', detail, { retryAfter });
    }
    this.#connection.directory = { answer: data as Record<string, unknown>, at: clock.now() };
    return this.#connection.directory.answer;
  }

  override async getResourceUrl(resource: string): Promise<string> {
    const url = (await this.getDirectory())[resource];
    if (typeof url !== 'string') throw new IssuanceError('unexpected', `the CA's directory names no ${resource}`);
    return url;
  }

  override async signedRequest(...args: Parameters<HttpClient['signedRequest']>): Promise<HttpAnswer> {
    const answer = await super.signedRequest(...args);
    if (answer.status < 300) return answer;
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], this.#connection.clock.now());
    throw toIssuanceError({ ...answer, retryAfter }, 'the CA refused');
  }
}

/** RFC 8555 section 6.5.1: base64url, and nothing else may be used. */
function nonceOf({ headers }: HttpAnswer): string | undefined {
  const nonce = headers['replay-nonce'];
  return nonce && /^[\w-]{1,512}$/.test(nonce) ? nonce : undefined;
}

async function send(
  connection: CaConnection,
  signal: AbortSignal,
  url: string,
  method: string,
  data: unknown,
): Promise<HttpAnswer> {
  const target = checkUrl(url);
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT);
  const body = data === undefined ? undefined : JSON.stringify(data);
  const secure = target.protocol === 'https:';
  const options = {
    method: method.toUpperCase(),
    agent: secure ? connection.agent : connection.plainAgent,
    signal: AbortSignal.any([signal, timeout]),
    headers: {
      'User-Agent': connection.userAgent,
      ...(body && { 'Content-Type': 'application/jose+json', 'Content-Length': Buffer.byteLength(body) }),
    },
  };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (secure ? tlsRequest : plainRequest)(target, options, resolve);
      request.on('error', reject);
      request.end(body);
    });
    return await readAnswer(response);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof IssuanceError) throw error;
    const reason = timeout.aborted ? `no answer within ${REQUEST_TIMEOUT / 1000} seconds` : describeError(error);
    throw new IssuanceError('unavailable', `the CA at ${target.host} cannot be reached: ${reason}`, { cause: error });
  }
}

/** Account keys sign whatever URL the CA names: only https, but for a CA on this very machine. */
function checkUrl(url: string): URL {
  const target = URL.canParse(url) ? new URL(url) : undefined;
  if (target?.protocol === 'https:') return target;
  if (target?.protocol === 'http:' && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(target.hostname)) return target;
  throw new IssuanceError('unexpected', 'the CA named a URL that is not https');
}

async function readAnswer(response: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > LARGEST_ANSWER) throw new IssuanceError('unexpected', "the CA's answer is too large");
    chunks.push(chunk as Buffer);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
  return { status: response.statusCode ?? 0, headers, data: parseBody(headers['content-type'], text) };
}

function parseBody(contentType: string | undefined, text: string): unknown {
  if (!/^application\/(\w+\+)?json\b/.test(contentType ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new IssuanceError('unavailable', 'the CA answered with damaged JSON', { cause: error });
  }
}
