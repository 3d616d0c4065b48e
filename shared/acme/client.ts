import { LRUCache } from 'lru-cache';
import type { Identifier } from '../base/identifier.ts';
import { signForJose } from '../pki/key.ts';
import { type AccountKey, openAccountKey } from './account-key.ts';
import { chooseChain } from './alternates.ts';
import { type CaConnection, readDirectory, resourceUrl, sendRequest, takeNonce } from './connection.ts';
import type { Directory } from './directory.ts';
import { tryUntilThere } from './lag.ts';
import {
  type AcmeAuthorization,
  type AcmeOrder,
  type HttpAnswer,
  nonceOf,
  parseProblem,
  parseRetryAfter,
  resolveUrl,
  text,
  toAuthorization,
  toOrder,
} from './objects.ts';
import { problemKind, toIssuanceError } from './problem.ts';
import { REQUEST_TIMEOUT } from './read-answer.ts';

/**
 * Milliseconds that a CA has for the answer to finalize: some issue before they answer, and one that is cut
 * off may issue twice.
 */
const FINALIZE_TIMEOUT = 120_000;

/**
 * An account's signed calls (RFC 8555): each rejects with an `IssuanceError` or the signal's reason. What the
 * CA has told us of is asked for again over some seconds, should it be 404: one of its replicas may lag.
 */
export type AcmeClient = {
  /**
   * Section 7.4.
   *
   * @param options `profile`: a certificate profile that the CA's directory offers; `replaces`: the
   *   certificate that this order renews (RFC 9773 section 5), if the CA has renewal information
   */
  newOrder(
    identifiers: Identifier[],
    options?: { profile?: string | undefined; replaces?: string | undefined },
  ): Promise<AcmeOrder>;
  /** Sections 7.1.6 and 7.4: how far the order is. */
  getOrder(url: string): Promise<AcmeOrder>;
  /** Section 7.5: what is to be proven of one name, and how it can be. */
  getAuthorization(url: string): Promise<AcmeAuthorization>;
  /** Tells the CA that the challenge can be validated (section 7.5.1). */
  initiateChallenge(url: string): Promise<void>;
  /**
   * Asks for the certificate of an order that is ready (section 7.4). The CA has two minutes for its answer;
   * of one with nothing in it the order is taken to be `processing`.
   *
   * @param csr DER, for all of the order's names
   */
  finalize(order: AcmeOrder, csr: Buffer): Promise<AcmeOrder>;
  /**
   * Fetches the certificate of an order that is valid (section 7.4.2).
   *
   * @param preferredIssuer of several chains that the CA offers (section 7.4.2), the one whose topmost
   *   certificate this issuer signed is taken, where there is one
   * @param warn gets why another chain could not be read, in one line
   * @returns the chain as the CA sends it, PEM
   */
  downloadChain(url: string, preferredIssuer?: string, warn?: (fault: string) => void): Promise<string>;
  /** What the account is called at the CA (section 7.1.2). */
  readonly accountUrl: string;
  /** Section 8.1: the token and the account key's thumbprint (RFC 7638). */
  keyAuthorization(token: string): string;
};

/** An account that exists at the CA. `keyPem` is PKCS#8. */
export type AcmeAccount = { keyPem: string; url: string };

/**
 * Opens the calls of an account (RFC 8555 section 7) over a shared connection; cheap, one for each job, so
 * that its signal reaches every request.
 *
 * @param timeout milliseconds for one answer, asked before each request; 30 seconds where absent
 */
export function openAcmeClient(
  connection: CaConnection,
  account: AcmeAccount,
  signal: AbortSignal,
  timeout?: () => number,
): AcmeClient {
  const signer = openSigner(connection, account, signal, timeout);
  /** Of what the CA has told us of. */
  async function ask(url: string, payload?: object, within?: number): Promise<HttpAnswer> {
    const post = () => signer.post(url, payload, within);
    try {
      return await post();
    } catch (error) {
      return tryUntilThere(post, error, connection.clock, signal);
    }
  }
  const read = (answer: HttpAnswer, url: string) => toOrder(answer, url, connection.clock.now());
  const getOrder = async (url: string) => read(await ask(url), url);
  return {
    async newOrder(identifiers, { profile, replaces } = {}) {
      const { urls } = await readDirectory(connection, signal, timeout?.());
      const answer = await signer.postTo('newOrder', () => ({
        identifiers,
        ...(profile !== undefined && { profile }),
        ...(replaces !== undefined && urls.renewalInfo !== undefined && { replaces }),
      }));
      const location = text(answer.headers.location, 'the URL of the new order');
      const url = resolveUrl(location, answer);
      return answer.data === '' ? getOrder(url) : read(answer, url);
    },
    getOrder,
    getAuthorization: async url => toAuthorization(await ask(url), url),
    initiateChallenge: async url => {
      await ask(url, {});
    },
    async finalize(order, csr) {
      const to = text(order.finalize ?? (await getOrder(order.url)).finalize, 'a finalize URL');
      const answer = await ask(to, { csr: csr.toString('base64url') }, FINALIZE_TIMEOUT);
      if (answer.data !== '') return read(answer, order.url);
      const retryAfter = parseRetryAfter(answer.headers['retry-after'], connection.clock.now());
      return { ...order, status: 'processing', retryAfter };
    },
    async downloadChain(url, preferredIssuer, warn) {
      const answer = await ask(url);
      if (preferredIssuer === undefined) return text(answer.data, 'a certificate chain');
      return chooseChain(answer, preferredIssuer, { fetch: one => signer.post(one), signal, warn });
    },
    accountUrl: account.url,
    keyAuthorization: token => `${token}.${signer.key.thumbprint}`,
  };
}

const BAD_NONCE_RETRIES = 10;
/** Account keys of one process; a fleet has a few. */
const MOST_KEYS = 16;

/** A JWS as ACME has it (RFC 8555 section 6.2). */
export type Jws = { protected: string; payload: string; signature: string };

/** Requests that a key signs. A failed answer is an `IssuanceError`; only `badNonce` is retried. */
export type Signer = {
  /**
   * @param payload absent for a POST-as-GET (RFC 8555 section 6.3)
   * @param within milliseconds that the CA has for this answer
   */
  post(url: string, payload?: object, within?: number): Promise<HttpAnswer>;
  /** The same to a resource of the CA's directory. */
  postTo(resource: keyof Directory['urls'], payload: (url: string) => object): Promise<HttpAnswer>;
  readonly key: AccountKey;
};

/**
 * Opens the signed requests of a key (RFC 8555 section 6.2); cheap, one for each job, so that its signal
 * reaches every request.
 *
 * @param by `keyPem`: PKCS#8; `url`: of the account, absent for requests that carry the key itself
 * @param timeout milliseconds for one answer, asked before each request
 * @throws Error that says what is wrong with the key
 */
export function openSigner(
  connection: CaConnection,
  by: { keyPem: string; url?: string },
  signal: AbortSignal,
  timeout: () => number = () => REQUEST_TIMEOUT,
): Signer {
  const key = accountKey(by.keyPem);
  const identity = by.url === undefined ? { jwk: key.jwk } : { kid: by.url };

  async function attempt(url: string, payload: string, nonce: string, within: number): Promise<HttpAnswer> {
    const body = signJws(key, { ...identity, nonce, url }, payload);
    const answer = await sendRequest(connection, { url, body, signal, timeout: within });
    const fresh = nonceOf(answer);
    if (fresh && !isBadNonce(answer)) connection.nonces.put(fresh, connection.clock.now());
    return answer;
  }

  async function post(url: string, payload?: object, within = timeout()): Promise<HttpAnswer> {
    const text = payload ? JSON.stringify(payload) : '';
    let answer = await attempt(url, text, await takeNonce(connection, signal, timeout()), within);
    for (let retries = 0; isBadNonce(answer) && retries < BAD_NONCE_RETRIES; retries++) {
      const nonce = nonceOf(answer) ?? (await takeNonce(connection, signal, timeout()));
      answer = await attempt(url, text, nonce, within);
    }
    if (answer.status < 300) return answer;
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], connection.clock.now());
    throw toIssuanceError({ ...answer, retryAfter }, 'the CA refused');
  }

  return {
    post,
    async postTo(resource, payload) {
      const url = resourceUrl(await readDirectory(connection, signal, timeout()), resource);
      return post(url, payload(url));
    },
    key,
  };
}

const isBadNonce = ({ status, data }: HttpAnswer) =>
  status === 400 && problemKind(parseProblem(data)) === 'badNonce';

const accountKeys = new LRUCache<string, AccountKey>({ max: MOST_KEYS });

/** An account's key is opened once for the many orders of a process that sign with it. */
function accountKey(pem: string): AccountKey {
  const known = accountKeys.get(pem);
  if (known) return known;
  const opened = openAccountKey(pem);
  accountKeys.set(pem, opened);
  return opened;
}

/**
 * The JWS that proves a key is held (RFC 8555 section 6.2).
 *
 * @param header `url`, with `nonce` but for the inner request of a key change, and `kid` or `jwk`
 */
export function signJws({ key, alg }: AccountKey, header: object, payload: string): Jws {
  const parts = encodeJws({ alg, ...header }, payload);
  const input = Buffer.from(`${parts.protected}.${parts.payload}`);
  const signature = signForJose(alg, input, key);
  return { ...parts, signature: signature.toString('base64url') };
}

/** The two parts that are signed, in base64url. */
export function encodeJws(header: object, payload: string): Omit<Jws, 'signature'> {
  const encode = (text: string) => Buffer.from(text).toString('base64url');
  return { protected: encode(JSON.stringify(header)), payload: encode(payload) };
}
