import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { STATUS_CODES } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';
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
 * finalize. It shares the machine with what is measured at it, so it reads and writes HTTP/1.1 by itself:
 * Node's server and client would take several times as long.
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

  const toText = ({ status = 200, location, body }: Answer) => {
    const content = typeof body === 'string' ? body : JSON.stringify(body);
    const type = typeof body === 'string' ? 'application/pem-certificate-chain' : 'application/json';
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nDate: ${new Date().toUTCString()}\r\n`;
    head += `Content-Type: ${type}\r\nReplay-Nonce: nonce-${++nonces}\r\n`;
    if (location !== undefined) head += `Location: ${location}\r\n`;
    if (status !== 204) head += `Content-Length: ${Buffer.byteLength(content)}\r\n`;
    return `${head}\r\n${content}`;
  };

  const sockets = new Set<Socket>();
  const server = createServer({ cert, key }, socket => {
    readRequests(socket, ({ path, body }) => {
      const [, kind = '', id = ''] = path.split('/');
      answer(kind, id, body).then(
        given => socket.write(toText(given)),
        () => socket.destroy(),
      );
    });
  });
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
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
      for (const socket of sockets) socket.destroy();
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

/**
 * What clients send on a connection: one request at a time, with a body of the length that it says, or none.
 */
function readRequests(socket: Socket, take: (request: { path: string; body: string }) => void): void {
  let come = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    come += text;
    const end = come.indexOf(headEnd) + headEnd.length;
    if (end < headEnd.length) return;
    const length = /\r\ncontent-length: *(\d+)/i.exec(come)?.[1] ?? 0;
    if (come.length < end + Number(length)) return;
    const [path, body] = [come.split(' ', 2)[1] ?? '', come.slice(end)];
    come = '';
    take({ path, body });
  });
  socket.on('error', () => {}); // a worker that stops hangs up
}

const headEnd = '\r\n\r\n';

/** The key behind the key authorization is not looked at. */
async function validate(port: number, token: string): Promise<boolean> {
  const answers = await Promise.allSettled([1, 2, 3].map(() => fetchChallenge(port, token)));
  return answers.every(answer => {
    if (answer.status === 'rejected') return false;
    const [head = '', body = ''] = answer.value.split(headEnd);
    return head.startsWith('HTTP/1.1 200 ') && body.startsWith(`${token}.`);
  });
}

/** All that is answered, head and body. */
function fetchChallenge(port: number, token: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let come = '';
  const socket = connect({ host: '127.0.0.1', port }).setEncoding('latin1');
  socket.on('data', (text: string) => {
    come += text;
  });
  socket.on('end', () => resolve(come)).on('error', reject);
  socket.write(
    `GET /.well-known/acme-challenge/${token} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close${headEnd}`,
  );
  return promise;
}

const directory = (base: string) => ({
  newNonce: `${base}/new-nonce`,
  newAccount: `${base}/new-account`,
  newOrder: `${base}/new-order`,
  revokeCert: `${base}/revoke-cert`,
  keyChange: `${base}/key-change`,
});
