import { createHash, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { listen } from '../../support/listen.ts';

/** A request as the CA sees it; the last four are of signed ones. */
export type CaRequest = {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  /** The client's port, so that a test sees which requests shared a connection. */
  port: number | undefined;
  nonce?: string;
  kid?: string;
  /** undefined where the payload is empty (POST-as-GET). */
  payload?: Record<string, unknown> | undefined;
  /** As it was sent. */
  jws?: Jws;
};

export type Jws = { protected: string; payload: string; signature: string };

export type CaAnswer = {
  status?: number;
  headers?: Record<string, string>;
  /** JSON unless it is a text. */
  body?: unknown;
};

type Handler = (request: CaRequest) => CaAnswer | Promise<CaAnswer> | undefined;

export type FakeCa = AsyncDisposable & {
  url: string;
  directoryUrl: string;
  requests: CaRequest[];
  /** `POST /new-order` and the like, in order. */
  log(): string[];
  /** Answers requests for a path from now on; `undefined` leaves the socket without an answer. */
  on(path: string, handler: Handler): void;
  /** What the directory's `meta` says. */
  meta: unknown;
  /** What the directory names besides. */
  resources: Record<string, string>;
  /** The accounts' URLs by their keys' thumbprints. */
  accounts: Map<string, string>;
};

export const acmeError = (kind: string) => `urn:ietf:params:acme:error:${kind}`;

/**
 * An ACME server that answers what a test tells it to, over HTTP on loopback. It checks what every CA checks:
 * each nonce once, the signature by the account's key, the URL, the content type. Accounts are real, all else
 * is the test's.
 */
export async function startFakeCa(): Promise<FakeCa> {
  const handlers = new Map<string, Handler>();
  const keys = new Map<string, KeyObject>();
  const nonces = new Set<string>();
  let made = 0;
  const newNonce = () => {
    const nonce = `nonce-${made++}`;
    nonces.add(nonce);
    return nonce;
  };

  const server = await listen((request, response) => {
    handle(request, response).catch(error =>
      respond(response, { status: 500, body: `the fake CA: ${error}` }),
    );
  });
  const ca: FakeCa = {
    url: server.url,
    directoryUrl: `${server.url}/dir`,
    requests: [],
    log: () => ca.requests.map(({ method, path }) => `${method} ${path}`),
    on: (path, handler) => handlers.set(path, handler),
    meta: {},
    resources: {},
    accounts: new Map(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };

  ca.on('/dir', () => ({
    body: {
      newNonce: `${ca.url}/nonce`,
      newAccount,
      newOrder: `${ca.url}/new-order`,
      meta: ca.meta,
      ...ca.resources,
    },
  }));
  ca.on('/nonce', () => ({ status: 204, headers: { 'Replay-Nonce': newNonce() } }));
  const newAccount = `${ca.url}/new-account`;
  ca.on('/new-account', ({ kid = '', payload }) => {
    const existing = ca.accounts.get(kid);
    const url = existing ?? `${ca.url}/account/${ca.accounts.size + 1}`;
    if (!existing && payload?.onlyReturnExisting)
      return problem(400, 'accountDoesNotExist', 'no such account');
    ca.accounts.set(kid, url);
    return {
      status: existing ? 200 : 201,
      headers: { Location: url },
      body: { status: 'valid', ...payload },
    };
  });

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers, socket } = incoming;
    const request: CaRequest = { method, path, headers, port: socket.remotePort };
    ca.requests.push(request);
    const refused = method === 'POST' ? readSigned(request, (await json(incoming)) as Jws) : undefined;
    const answer =
      refused ?? (await (handlers.get(path) ?? (() => problem(404, 'malformed', 'no such path')))(request));
    if (!answer) return;
    const fresh: Record<string, string> = method === 'POST' ? { 'Replay-Nonce': newNonce() } : {};
    respond(response, { ...answer, headers: { ...fresh, ...answer.headers } });
  }

  /** What is wrong with a signed request; where nothing is, its parts are added to `request`. */
  function readSigned(request: CaRequest, jws: Jws): CaAnswer | undefined {
    const header = JSON.parse(decode(jws.protected)) as {
      alg: string;
      nonce: string;
      url: string;
      kid?: string;
      jwk?: JsonWebKey;
    };
    const key = header.jwk ? createPublicKey({ key: header.jwk, format: 'jwk' }) : keys.get(header.kid ?? '');
    const kid = header.kid ?? thumbprint(header.jwk);
    const payload = jws.payload === '' ? undefined : JSON.parse(decode(jws.payload));
    Object.assign(request, { nonce: header.nonce, kid, payload, jws });
    if (!nonces.delete(header.nonce)) return problem(400, 'badNonce', 'that nonce is not known');
    if (!key) return problem(400, 'accountDoesNotExist', 'no such account');
    const rightType = request.headers['content-type'] === 'application/jose+json';
    const rightUrl = header.url === ca.url + request.path;
    const signed = Buffer.from(`${jws.protected}.${jws.payload}`);
    const rightSignature = verify(
      `sha${header.alg.slice(2)}`,
      signed,
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(jws.signature, 'base64url'),
    );
    if (!rightType || !rightUrl || !rightSignature)
      return problem(400, 'malformed', 'wrong type, URL or signature');
    if (header.jwk) keys.set(ca.accounts.get(kid) ?? `${ca.url}/account/${ca.accounts.size + 1}`, key);
    return undefined;
  }

  return ca;
}

export function problem(status: number, kind: string, detail: string): CaAnswer {
  return {
    status,
    headers: { 'Content-Type': 'application/problem+json' },
    body: { type: acmeError(kind), detail },
  };
}

/** RFC 7638: the required members in lexicographic order. */
function thumbprint({ kty, crv, x, y, e, n }: JsonWebKey = {}): string {
  const members = kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

const decode = (text: string) => Buffer.from(text, 'base64url').toString();

function respond(response: ServerResponse, { status = 200, headers = {}, body = '' }: CaAnswer): void {
  const type = typeof body === 'string' ? 'text/plain' : 'application/json';
  response.writeHead(status, { 'Content-Type': type, ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
