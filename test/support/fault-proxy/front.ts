import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../free-port.ts';
import { provision } from '../provision.ts';
import { tempDir } from '../temp-dir.ts';
import { tlsAuthority } from '../tls-authority.ts';

export type Front = AsyncDisposable & {
  /** `https://127.0.0.1:<port>` */
  origin: string;
  /** Breaks all connections and refuses new ones. */
  goDown(): Promise<void>;
  /** Listens again, on the same port. */
  comeBack(): Promise<void>;
  /** For localhost, but signed by itself. Breaks all connections, so that everybody sees it. */
  presentWrongCertificate(): Promise<void>;
  presentRightCertificate(): Promise<void>;
};

/** The side that clients see: an HTTPS server on loopback with the certificate that all test servers have. */
export async function startFront(
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Front> {
  const right = await tlsAuthority().then(readPair);
  const port = await freePort();
  // A proxy must not end what its client wants to keep.
  const server = createServer({ ...right, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, serve);
  const sockets = new Set<Socket>();
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // whoever hangs up, may
    socket.on('close', () => sockets.delete(socket));
  };
  server.on('connection', track);
  server.on('secureConnection', track);

  const breakConnections = () => {
    for (const socket of sockets) socket.destroy();
  };
  const present = (pair: Pair) => {
    server.setSecureContext(pair);
    breakConnections();
  };
  const front: Front = {
    origin: `https://127.0.0.1:${port}`,
    async goDown() {
      if (!server.listening) return;
      server.close();
      breakConnections();
      await once(server, 'close');
    },
    async comeBack() {
      if (server.listening) return;
      server.listen(port, '127.0.0.1').unref();
      await once(server, 'listening');
    },
    presentWrongCertificate: async () => present(await wrongPair()),
    presentRightCertificate: async () => present(right),
    [Symbol.asyncDispose]: () => front.goDown(),
  };
  await front.comeBack();
  return front;
}

type Pair = { cert: string; key: string };

async function readPair({ certFile, keyFile }: { certFile: string; keyFile: string }): Promise<Pair> {
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
  return { cert, key };
}

async function wrongPair(): Promise<Pair> {
  const { openssl } = await provision(['openssl']);
  await using dir = await tempDir();
  const [certFile, keyFile] = [join(dir.path, 'cert.pem'), join(dir.path, 'key.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  await promisify(execFile)(openssl, ['req', '-x509', ...key, ...names, '-days', '2', '-out', certFile]);
  return readPair({ certFile, keyFile });
}
