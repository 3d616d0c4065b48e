import { createHash, createHmac, type KeyObject, sign } from 'node:crypto';
import { getJwk } from 'acme-client/src/crypto/index.js';
import { LRUCache } from 'lru-cache';
import { IssuanceError } from '../base/errors.ts';
import { readPrivateKey } from '../pki/key.ts';
import {
  type CaConnection,
  nonceOf,
  REQUEST_TIMEOUT,
  readDirectory,
  resourceUrl,
  sendRequest,
  takeNonce,
} from './connection.ts';
import type { Directory, HttpAnswer } from './objects.ts';
import { parseProblem, parseRetryAfter, problemKind, toIssuanceError } from './problem.ts';

const BAD_NONCE_RETRIES = 10;
/** Account keys of one process; a fleet has a few. */
const MOST_KEYS = 16;

/** External account binding (RFC 8555 section 7.3.4): `hmacKey` in base64url, as the CA hands it out. */
export type ExternalAccountBinding = { kid: string; hmacKey: string };

/** An account's key as requests need it. */
type AccountKey = {
  key: KeyObject;
  /** The public one (RFC 7517), its members sorted as RFC 7638 wants them for the thumbprint. */
  jwk: Record<string, string>;
  /** RFC 7638, base64url. */
  thumbprint: string;
  alg: 'RS256' | 'ES256' | 'ES384' | 'ES512';
};

/** A JWS as ACME has it (RFC 8555 section 6.2). */
type Jws = { protected: string; payload: string; signature: string };

/** Requests that a key signs. A failed answer is thrown as an `IssuanceError`; nothing is retried but `badNonce`. */
export type Signer = {
  /** @param payload absent for a POST-as-GET (RFC 8555 section 6.3) */
  post(url: string, payload?: object): Promise<HttpAnswer>;
  /** The same to a resource of the CA's directory. @param binding sent along with newAccount */
  postTo(
    resource: keyof Directory['urls'],
    payload: (url: string) => object,
    binding?: ExternalAccountBinding,
  ): Promise<HttpAnswer>;
  readonly key: AccountKey;
};

/**
 * Opens the signed requests of a key (RFC 8555 section 6.2); cheap, one for each job, so that its signal reaches every
 * request.
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
    async postTo(resource, payload, binding) {
      const url = resourceUrl(await readDirectory(connection, signal, timeout()), resource);
      const bound = binding && { externalAccountBinding: bindAccount(key, binding, url) };
      return post(url, { ...payload(url), ...bound });
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
  const parts = encode({ alg, ...header }, payload);
  const input = Buffer.from(`${parts.protected}.${parts.payload}`);
  const signature = sign(`sha${alg.slice(2)}`, input, { key, dsaEncoding: 'ieee-p1363' });
  return { ...parts, signature: signature.toString('base64url') };
}

/** RFC 8555 section 7.3.4: the account's public key, signed with the MAC key that the CA handed out. */
function bindAccount({ jwk }: AccountKey, { kid, hmacKey }: ExternalAccountBinding, url: string): Jws {
  const parts = encode({ alg: 'HS256', kid, url }, JSON.stringify(jwk));
  const mac = createHmac('sha256', Buffer.from(hmacKey, 'base64')); // reads base64url too
  return { ...parts, signature: mac.update(`${parts.protected}.${parts.payload}`).digest('base64url') };
}

function encode(header: object, payload: string): Omit<Jws, 'signature'> {
  const [head, body] = [JSON.stringify(header), payload].map(text => Buffer.from(text).toString('base64url'));
  return { protected: head ?? '', payload: body ?? '' };
}

/** The public part of a key, as the inner request of a key change names the old one (RFC 8555 section 7.3.5). */
export const publicJwk = (keyPem: string) => openAccountKey(keyPem).jwk;
