import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { freePort } from '../support/free-port.ts';
import { tlsAuthority } from '../support/tls-authority.ts';

export type FakeCa = AsyncDisposable & {
  directoryUrl: string;
  caFile: string;
  /** How many chains were downloaded. */
  issued(): number;
  /** The name of each order that was made. */
  ordered(): readonly string[];
};

type Answer = { status?: number; location?: string; body: object | string };

/** An order for one name. */
export type FakeOrder = { number: number; name: string };

export type FakeCaOptions = {
  /** The chain that an order gets; orders count from 1. */
  chainOf(order: FakeOrder): string;
  /**
   * The port on loopback where it fetches each challenge three times, on connections of their own, as Pebble
   * does; by default it fetches none.
   */
  fetchFrom?: number;
};

/**
 * A CA that costs nearly nothing and answers at once: it looks at no signature or nonce, has each order ready
 * when it is first asked for, or invalid where a challenge was answered wrongly, and issues by the time of
 * finalize.
 */
export async function startFakeCa({ chainOf, fetchFrom }: FakeCaOptions): Promise<FakeCa> {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
  const port = await freePort();
  const base = `https://127.0.0.1:${port}`;
  let orders = 0;
  let nonces = 0;
  let issued = 0;
  const ordered: string[] = [];
  /** What was ordered, by the order's id. */
  const names = new Map<string, string>();
  /** Whether the challenge of an order was answered, by the order's id. */
  const validations = new Map<string, Promise<boolean>>();

  const toOrder = (id: string, status: string) => ({
    status,
    ...(status === 'invalid' && { error: wrongAnswer }),
    authorizations: [`${base}/authz/${id}`],
    finalize: `${base}/finalize/${id}`,
    ...(status === 'valid' && { certificate: `${base}/cert/${id}` }),
  });
  const toChallenge = (id: string, status: string) => ({
    type: 'http-01',
    url: `${base}/challenge/${id}`,
    status,
    token: toToken(id),
  });

  /** @param kind of the URL's path, which ends with the order's `id` */
  async function answer(kind: string, id: string, sent: string): Promise<Answer> {
    switch (kind) {
      case 'dir':
        return { body: directory(base) };
      case 'new-account':
      case 'account':
        return { location: `${base}/account/1`, body: { status: 'valid' } };
      case 'new-order': {
        const made = `${++orders}`;
        const name = orderedName(sent);
        ordered.push(name);
        names.set(made, name);
        return { status: 201, location: `${base}/order/${made}`, body: toOrder(made, 'pending') };
      }
      case 'authz': {
        const identifier = { type: 'dns', value: names.get(id) };
        return { body: { status: 'pending', identifier, challenges: [toChallenge(id, 'pending')] } };
      }
      case 'challenge':
        if (fetchFrom !== undefined) validations.set(id, validate(fetchFrom, toToken(id)));
        return { body: toChallenge(id, 'processing') };
      case 'order':
        return { body: toOrder(id, ((await validations.get(id)) ?? true) ? 'ready' : 'invalid') };
      case 'finalize':
        return { body: toOrder(id, 'valid') };
      case 'cert': {
        issued++;
        const name = names.get(id) ?? '';
        validations.delete(id);
        names.delete(id);
        return { body: chainOf({ number: Number(id), name }) };
      }
      default:
        return { status: kind === 'new-nonce' ? 204 : 404, body: '' };
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await text(request);
    const [, kind = '', id = ''] = request.url?.split('/') ?? [];
    const { status = 200, location, body } = await answer(kind, id, sent);
    const content = typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, {
      'Content-Type': typeof body === 'string' ? 'application/pem-certificate-chain' : 'application/json',
      'Replay-Nonce': `nonce-${++nonces}`,
      ...(status !== 204 && { 'Content-Length': Buffer.byteLength(content) }),
      ...(location && { Location: location }),
    });
    response.end(content);
  }

  const server = createServer({ cert, key, keepAliveTimeout: 60_000 }, (request, response) => {
    serve(request, response).catch(() => response.destroy()); // a worker that stops hangs up
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    directoryUrl: `${base}/dir`,
    caFile,
    issued: () => issued,
    ordered: () => ordered,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** @param sent newOrder's JWS (RFC 8555 section 7.4), of which nobody looks at the signature */
function orderedName(sent: string): string {
  const { payload } = JSON.parse(sent) as { payload: string };
  const { identifiers } = JSON.parse(Buffer.from(payload, 'base64url').toString());
  return identifiers[0].value;
}

const wrongAnswer = {
  type: 'urn:ietf:params:acme:error:unauthorized',
  detail: 'the challenge was not answered as it should be',
  status: 403,
};

/** No token begins another one. */
const toToken = (id: string) => `token-${id}-`.padEnd(43, '0');

/** The key behind the key authorization is not looked at. */
async function validate(port: number, token: string): Promise<boolean> {
  const answers = await Promise.allSettled([1, 2, 3].map(() => fetchChallenge(port, token)));
  return answers.every(answer => answer.status === 'fulfilled' && answer.value.startsWith(`${token}.`));
}

function fetchChallenge(port: number, token: string): Promise<string> {
  const path = `/.well-known/acme-challenge/${token}`;
  return new Promise((done, fail) => {
    const asked = get({ host: '127.0.0.1', port, path, agent: false }, answer => {
      text(answer).then(done, fail);
    });
    asked.on('error', fail);
  });
}

const directory = (base: string) => ({
  newNonce: `${base}/new-nonce`,
  newAccount: `${base}/new-account`,
  newOrder: `${base}/new-order`,
  revokeCert: `${base}/revoke-cert`,
  keyChange: `${base}/key-change`,
});
