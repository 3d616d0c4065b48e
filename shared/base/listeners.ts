import { Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Log } from './basics.ts';
import { describeError } from './errors.ts';
import { http } from './http.ts';
import { bracketed } from './identifier.ts';

const CLOSE_TIMEOUT = 2_000;

/** `explicit` is false for a default, which is skipped on a machine without IPv6, for example. */
type ListenerAddress = { host: string; port: number; explicit: boolean };

/** Names the listeners' option in an error of `openListeners`. @param option such as `[admin] listener` */
export const atListener =
  (option: string) =>
  (error: unknown): never => {
    throw new Error(`${option}: ${describeError(error)}`);
  };

/** A server over TCP, which may know its connections or those that are idle, or a UDP socket. */
export type ListeningServer =
  | (Server & { closeIdleConnections?(): void; destroyConnections?(): void })
  | UdpSocket;

type OpenListeners = AsyncDisposable & {
  /** The addresses in use, with the real ports in place of 0. */
  readonly addresses: { host: string; port: number }[];
};

type ConnectionCap = {
  /** Over all addresses; each has the same part of it. */
  most: number;
  /** Called for each that is too many. */
  onRefused(): void;
};

type Listening = { address: AddressInfo; close(): Promise<void> };

/**
 * Listens on every address; only services call it. Disposing ends idle connections at once, and those that
 * are still answering after two seconds.
 *
 * @param createServers makes the server for one address, or several of different transports that share its
 *   port
 * @param cap of connections, of TCP servers; those that are too many end as soon as they begin
 * @throws Error that names the address that cannot be listened on
 */
export async function openListeners(
  listeners: readonly ListenerAddress[],
  createServers: (host: string) => ListeningServer | readonly ListeningServer[],
  log: Log,
  cap?: ConnectionCap,
): Promise<OpenListeners> {
  const open: Listening[] = [];
  const addresses: OpenListeners['addresses'] = [];
  const close = async () => {
    await Promise.all(open.map(one => one.close()));
  };
  try {
    for (const { host, port, explicit } of listeners) {
      let first: AddressInfo | undefined;
      for (const server of [createServers(host)].flat()) {
        const listening = await listen(server, { host, port: first?.port ?? port, explicit }, log);
        if (!listening) break;
        if (cap && !(server instanceof UdpSocket)) capServer(server, cap, listeners.length);
        open.push(listening);
        first ??= listening.address;
      }
      if (first) addresses.push({ host: first.address, port: first.port });
    }
    if (open.length === 0) throw new Error('there is no address to listen on');
  } catch (error) {
    await close();
    throw error;
  }
  return { addresses, [Symbol.asyncDispose]: close };
}

function capServer(server: Server, { most, onRefused }: ConnectionCap, servers: number): void {
  if (most === Infinity) return;
  server.maxConnections = Math.ceil(most / servers);
  server.on('drop', onRefused);
}

async function listen(
  server: ListeningServer,
  { host, port, explicit }: ListenerAddress,
  log: Log,
): Promise<Listening | undefined> {
  const where = `${bracketed(host)}:${port}`;
  try {
    return server instanceof UdpSocket
      ? await bindSocket(server, host, port)
      : await listenOn(server, host, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!explicit && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) {
      log.warn({ listener: where }, 'this machine has no such address, going on without');
      return undefined;
    }
    const transport = server instanceof UdpSocket ? ' for UDP' : '';
    const said = `${describeError(error)}${adviseOnAddress(code, port)}`;
    throw new Error(`cannot listen on ${where}${transport}: ${said}`, { cause: error });
  }
}

function adviseOnAddress(code: string | undefined, port: number): string {
  const remedies: Record<string, string> = {
    EADDRINUSE:
      '; another program has this port, such as a Quarry that runs already: stop it, or set another port',
    EADDRNOTAVAIL: '; this machine has no such address: set the listener to one that it has, or to 0.0.0.0',
    EACCES:
      '; ports below 1024 take root or CAP_NET_BIND_SERVICE, which the units of systemd have: ' +
      `use these, or listen on another port, to which port ${port} is passed on`,
  };
  return remedies[code ?? ''] ?? '';
}

async function bindSocket(socket: UdpSocket, address: string, port: number): Promise<Listening> {
  const bound = once(socket, 'listening'); // which a socket that looks nothing up tells at once
  socket.bind({ address, port });
  await bound;
  return { address: socket.address(), close: () => new Promise(done => socket.close(done)) };
}

async function listenOn(
  server: Exclude<ListeningServer, UdpSocket>,
  host: string,
  port: number,
): Promise<Listening> {
  const endConnections =
    server instanceof http.Server
      ? () => server.closeAllConnections()
      : (server.destroyConnections ?? trackConnections(server));
  server.listen({ host, port, ipv6Only: host.includes(':') });
  await once(server, 'listening');
  return {
    address: server.address() as AddressInfo,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections?.();
      const timer = setTimeout(endConnections, CLOSE_TIMEOUT);
      await closed;
      clearTimeout(timer);
    },
  };
}

/**
 * Plain HTTP servers know their connections; those over TLS forget them until the handshake is over.
 *
 * @returns ends all that are open
 */
function trackConnections(server: Server): () => void {
  const connections = new Set<Socket>();
  server.on('connection', socket => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return () => {
    for (const socket of connections) socket.destroy();
  };
}
