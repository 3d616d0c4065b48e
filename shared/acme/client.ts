import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { getJwk } from 'acme-client/src/crypto/index.js';
import { LRUCache } from 'lru-cache';
import { IssuanceError } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { splitChain } from '../pki/certificate.ts';
import { signForJose } from '../pki/key.ts';
import { readPrivateKey } from '../pki/private-key.ts';
import {
  type CaConnection,
  nonceOf,
  REQUEST_TIMEOUT,
  readDirectory,
  resourceUrl,
  sendRequest,
  takeNonce,
} from './connection.ts';
import { readLinks } from './links.ts';
import {
  type AcmeAuthorization,
  type AcmeOrder,
  type Directory,
  type HttpAnswer,
  parseProblem,
  parseRetryAfter,
  text,
  toAuthorization,
  toOrder,
} from './objects.ts';
import { problemKind, toIssuanceError } from './problem.ts';

const MOST_ALTERNATES = 10;

/** An account's signed calls (RFC 8555): each rejects with an `IssuanceError` or the signal's reason. */
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
   * Asks for the certificate of an order that is ready (section 7.4).
   *
   * @param csr DER, for all of the order's names
   */
  finalize(order: AcmeOrder, csr: Buffer): Promise<AcmeOrder>;
  /**
   * Fetches the certificate of an order that is valid (section 7.4.2).
   *
   * @param preferredIssuer of several chains that the CA offers (section 7.4.2), the one whose topmost
   *   certificate this issuer signed is taken, where there is one
   * @returns the chain as the CA sends it, PEM
   */
  downloadChain(url: string, preferredIssuer?: string): Promise<string>;
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
  const read = (answer: HttpAnswer, url: string) => toOrder(answer, url, connection.clock.now());
  return {
    async newOrder(identifiers, { profile, replaces } = {}) {
      const { urls } = await readDirectory(connection, signal, timeout?.());
      const answer = await signer.postTo('newOrder', () => ({
        identifiers,
        ...(profile !== undefined && { profile }),
        ...(replaces !== undefined && urls.renewalInfo !== undefined && { replaces }),
      }));
      return read(answer, text(answer.headers.location, 'the URL of the new order'));
    },
    getOrder: async url => read(await signer.post(url), url),
    getAuthorization: async url => toAuthorization(await signer.post(url), url),
    initiateChallenge: async url => {
      await signer.post(url, {});
    },
    finalize: async ({ finalize, url }, csr) =>
      read(await signer.post(finalize, { csr: csr.toString('base64url') }), url),
    async downloadChain(url, preferredIssuer) {
      const answer = await signer.post(url);
      const chain = text(answer.data, 'a certificate chain');
      if (preferredIssuer === undefined || endsAtIssuer(chain, preferredIssuer)) return chain;
      const alternates = readLinks(answer.headers.link, 'alternate', url).slice(0, MOST_ALTERNATES);
      for (const alternate of alternates) {
        const other = text((await signer.post(alternate)).data, 'a certificate chain');
        if (endsAtIssuer(other, preferredIssuer)) return other;
      }
      return chain;
    },
    accountUrl: account.url,
    keyAuthorization: token => `${token}.${signer.key.thumbprint}`,
  };
}

/** Whether the topmost certificate of a chain was signed by an issuer of this common name. */
function endsAtIssuer(chain: string, issuer: string): boolean {
  const topmost = splitChain(chain).at(-1);
  if (!topmost) return false;
  const names = new X509Certificate(topmost).issuer.split('\n');
  return names.includes(`CN=${issuer}`);
}

const BAD_NONCE_RETRIES = 10;
/** Account keys of one process; a fleet has a few. */
const MOST_KEYS = 16;

/** An account's key as requests need it. */
export type AccountKey = {
  key: KeyObject;
  /** The public one (RFC 7517), its members sorted as RFC 7638 wants them for the thumbprint. */
  jwk: Record<string, string>;
  /** RFC 7638, base64url. */
  thumbprint: string;
  alg: 'RS256' | 'ES256' | 'ES384' | 'ES512';
};

/** A JWS as ACME has it (RFC 8555 section 6.2). */
export type Jws = { protected: string; payload: string; signature: string };

/** Requests that a key signs. A failed answer is an `IssuanceError`; only `badNonce` is retried. */
export type Signer = {
  /** @param payload absent for a POST-as-GET (RFC 8555 section 6.3) */
  post(url: string, payload?: object): Promise<HttpAnswer>;
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
  const key = openAccountKey(by.keyPem);
  const identity = by.url === undefined ? { jwk: key.jwk } : { kid: by.url };

  async function attempt(url: string, payload: string, nonce: string): Promise<HttpAnswer> {
    const body = signJws(key, { ...identity, nonce, url }, payload);
    const answer = await sendRequest(connection, { url, body, signal, timeout: timeout() });
    const fresh = nonceOf(answer);
    if (fresh && !isBadNonce(answer)) connection.nonces.put(fresh, connection.clock.now());
    return answer;
  }

  async function post(url: string, payload?: object): Promise<HttpAnswer> {
    const text = payload ? JSON.stringify(payload) : '';
    let answer = await attempt(url, text, await takeNonce(connection, signal, timeout()));
    for (let retries = 0; isBadNonce(answer) && retries < BAD_NONCE_RETRIES; retries++) {
      const nonce = nonceOf(answer) ?? (await takeNonce(connection, signal, timeout()));
      answer = await attempt(url, text, nonce);
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

/** Opens an account's key once for the many orders of a process that sign with it. */
function openAccountKey(pem: string): AccountKey {
  const known = accountKeys.get(pem);
  if (known) return known;
  const key = readPrivateKey(pem);
  const jwk = getJwk(pem);
  const thumbprint = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
  const opened: AccountKey = { key, jwk, thumbprint, alg: algorithmOf(key) };
  accountKeys.set(pem, opened);
  return opened;
}

/** RFC 7518 section 3.1. */
function algorithmOf(key: KeyObject): AccountKey['alg'] {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  const curves: Record<string, AccountKey['alg']> = {
    prime256v1: 'ES256',
    secp384r1: 'ES384',
    secp521r1: 'ES512',
  };
  const algorithm = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (!algorithm)
    throw new IssuanceError('misconfigured', 'the account key is neither RSA nor EC on a P curve');
  return algorithm;
}

/**
 * The JWS that proves a key is held (RFC 8555 section 6.2).
 *
 * @param header `url`, with `nonce` but for the inner request of a key change, and `kid` or `jwk`
 */
export function signJws({ key, alg }: AccountKey, header: object, payload: string): Jws {
  const parts = encodeJws({ alg, ...header }, payload);
  const input = Buffer.from(`${parts.protected}.${parts.payload}`);
  const signature = signForJose(`sha${alg.slice(2)}`, input, key);
  return { ...parts, signature: signature.toString('base64url') };
}

/** The two parts that are signed, in base64url. */
export function encodeJws(header: object, payload: string): Omit<Jws, 'signature'> {
  const [head, body] = [JSON.stringify(header), payload].map(text => Buffer.from(text).toString('base64url'));
  return { protected: head ?? '', payload: body ?? '' };
}
