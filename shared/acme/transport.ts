import HttpClient, { type HttpAnswer } from 'acme-client/src/http.js';
import { IssuanceError } from '../base/errors.ts';
import { openAccountKey } from './account-key.ts';
import { type CaConnection, sendRequest } from './ca-connection.ts';
import { readDirectory } from './directory.ts';
import { parseProblem, problemKind, toIssuanceError } from './problem.ts';
import { parseRetryAfter } from './retry-after.ts';

const BAD_NONCE_RETRIES = 10;

/**
 * acme-client's HTTP client with another engine: kept-alive connections, a nonce pool, a timeout and a signal on every
 * request, no retries and no sleeping but for `badNonce`. A failed answer is thrown as an `IssuanceError`.
 */
export class AcmeTransport extends HttpClient {
  readonly #connection: CaConnection;
  readonly #signal: AbortSignal;

  constructor(
    connection: CaConnection,
    account: { keyPem: string; eab?: { kid: string; hmacKey: string } | undefined },
    signal: AbortSignal,
  ) {
    super(connection.directoryUrl, Buffer.from(account.keyPem), account.eab);
    this.#connection = connection;
    this.#signal = signal;
    this.maxBadNonceRetries = BAD_NONCE_RETRIES;
    const { key, jwk } = openAccountKey(connection, account.keyPem); // saves acme-client a PEM parse per signature
    this.accountKey = key;
    this.jwk = jwk;
  }

  override async request(
    url: string,
    method: string,
    { data }: { data?: unknown } = {},
  ): Promise<HttpAnswer> {
    const { nonces, clock } = this.#connection;
    const answer = await sendRequest(this.#connection, this.#signal, url, method, data);
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
    const answer = await sendRequest(
      this.#connection,
      this.#signal,
      await this.getResourceUrl('newNonce'),
      'get',
      undefined,
    );
    const fresh = nonceOf(answer); // not by way of the pool, where another request may be quicker
    if (fresh) return fresh;
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], clock.now());
    throw toIssuanceError({ ...answer, retryAfter }, 'the CA gave no nonce');
  }

  override async getDirectory(): Promise<Record<string, unknown>> {
    return readDirectory(this.#connection, this.#signal);
  }

  override async getResourceUrl(resource: string): Promise<string> {
    const url = (await this.getDirectory())[resource];
    if (typeof url !== 'string')
      throw new IssuanceError('unexpected', `the CA's directory names no ${resource}`);
    return url;
  }

  override async signedRequest(...args: Parameters<HttpClient['signedRequest']>): Promise<HttpAnswer> {
    const answer = await super.signedRequest(...args);
    if (answer.status < 300) return answer;
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], this.#connection.clock.now());
    throw toIssuanceError({ ...answer, retryAfter }, 'the CA refused');
  }
}

/**
 * Opens the transport of an account key.
 *
 * @param keyPem PKCS#8
 * @param eab sent with a newAccount request (RFC 8555 section 7.3.4)
 */
export function openTransport(
  connection: CaConnection,
  keyPem: string,
  signal: AbortSignal,
  eab?: { kid: string; hmacKey: string },
): AcmeTransport {
  return new AcmeTransport(connection, { keyPem, eab }, signal);
}

/** RFC 8555 section 6.5.1: base64url, and nothing else may be used. */
function nonceOf({ headers }: HttpAnswer): string | undefined {
  const nonce = headers['replay-nonce'];
  return nonce && /^[\w-]{1,512}$/.test(nonce) ? nonce : undefined;
}
