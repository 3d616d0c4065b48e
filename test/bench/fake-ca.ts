import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { freePort } from '../support/free-port.ts';
import { tlsAuthority } from '../support/tls-authority.ts';

export type FakeCa = AsyncDisposable & {
  directoryUrl: string;
  caFile: string;
  /** How many chains were downloaded. */
  issued(): number;
};

type Answer = { status?: number; location?: string; body: object | string };

/**
 * A CA that costs nearly nothing and answers at once: it looks at no signature, nonce or challenge, finds
 * each order ready when it is first asked for, and has one chain for all, issued by the time of finalize.
 */
export async function startFakeCa(chain: string): Promise<FakeCa> {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
  const port = await freePort();
  const base = `https://127.0.0.1:${port}`;
  let orders = 0;
  let nonces = 0;
  let issued = 0;

  const toOrder = (id: string, status: string) => ({
    status,
    authorizations: [`${base}/authz/${id}`],
    finalize: `${base}/finalize/${id}`,
    ...(status === 'valid' && { certificate: `${base}/cert/${id}` }),
  });
  const toChallenge = (id: string, status: string) => ({
    type: 'http-01',
    url: `${base}/challenge/${id}`,
    status,
    token: `token-${id}`.padEnd(43, '0'),
  });

  /** @param kind of the URL's path, which ends with the order's `id` */
  function answer(kind: string, id: string): Answer {
    switch (kind) {
      case 'dir':
        return { body: directory(base) };
      case 'new-account':
        return { location: `${base}/account/1`, body: { status: 'valid' } };
      case 'new-order': {
        const made = `${++orders}`;
        return { status: 201, location: `${base}/order/${made}`, body: toOrder(made, 'pending') };
      }
      case 'authz': {
        const identifier = { type: 'dns', value: `order-${id}.bench.example` };
        return { body: { status: 'pending', identifier, challenges: [toChallenge(id, 'pending')] } };
      }
      case 'challenge':
        return { body: toChallenge(id, 'processing') };
      case 'order':
        return { body: toOrder(id, 'ready') };
      case 'finalize':
        return { body: toOrder(id, 'valid') };
      case 'cert':
        issued++;
        return { body: chain };
      default:
        return { status: kind === 'new-nonce' ? 204 : 404, body: '' };
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await text(request); // what is left unread would keep the connection from being used again
    const [, kind = '', id = ''] = request.url?.split('/') ?? [];
    const { status = 200, location, body } = answer(kind, id);
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
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const directory = (base: string) => ({
  newNonce: `${base}/new-nonce`,
  newAccount: `${base}/new-account`,
  newOrder: `${base}/new-order`,
  revokeCert: `${base}/revoke-cert`,
  keyChange: `${base}/key-change`,
});
