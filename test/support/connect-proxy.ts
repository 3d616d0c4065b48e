import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/**
 * What the proxy does with each CONNECT: leads to the port on this host, refuses and waits for another, or
 * never answers.
 */
type Manner = 'lead' | 'refuse' | 'hang';

export type ConnectProxy = AsyncDisposable & {
  url: string;
  host: string;
  manner: Manner;
  /** How many there are now. */
  connections(): number;
  /** What it was asked to lead to (`host:port`), and as whom, in order. */
  asked: { authority: string; credentials: string | undefined }[];
  /** Answers requests for http, which it refuses by default. */
  onRequest: RequestListener;
};

/**
 * A proxy for https (CONNECT, RFC 9110 section 9.3.6) on a free loopback port. All names lead to loopback, so
 * that a test can ask for one that has no address.
 */
export async function startConnectProxy(): Promise<ConnectProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => proxy.onRequest(request, response));
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.on('connect', ({ url = '', headers }, client, head) => {
    const [, basic] = /^Basic (.*)$/.exec(headers['proxy-authorization'] ?? '') ?? [];
    proxy.asked.push({ authority: url, credentials: basic && Buffer.from(basic, 'base64').toString() });
    client.on('error', () => {});
    if (proxy.manner === 'refuse')
      client.write('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
    if (proxy.manner !== 'lead') return void client.on('end', () => client.destroy()).resume();
    const target = connect(Number(url.split(':').at(-1)), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.write(head);
      client.pipe(target).pipe(client);
    });
    target.on('error', () => client.destroy());
    client.on('close', () => target.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: ConnectProxy = {
    url: `http://${host}`,
    host,
    manner: 'lead',
    connections: () => sockets.size,
    asked: [],
    onRequest: (_, response) => void response.writeHead(405).end(),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return proxy;
}
