import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import { describeError } from './errors.ts';
import type { Log } from './log.ts';

const CLOSE_TIMEOUT = 2_000;

/** `explicit` is false for a default, which a machine without IPv6, say, may be unable to offer. */
type ListenerAddress = { host: string; port: number; explicit: boolean };

export type OpenListeners = AsyncDisposable & {
  /** Where it listens, with the ports that were free where 0 was asked for. */
  readonly addresses: { host: string; port: number }[];
};

/**
 * Listens on every address; services alone call it. Disposing of it ends idle connections at once, and after two
 * seconds those that are still answering.
 *
 * @throws Error naming the address that cannot be listened on
 */
export async function openListeners(
  listeners: readonly ListenerAddress[],
  createServer: () => Server,
  log: Log,
): Promise<OpenListeners> {
  const servers: Server[] = [];
  const close = async () => {
    await Promise.all(servers.map(closeServer));
  };
  try {
    for (const listener of listeners) {
      const server = await listen(createServer(), listener, log);
      if (server) servers.push(server);
    }
    if (servers.length === 0) throw new Error('there is no address to listen on');
  } catch (error) {
    await close();
    throw error;
  }
  const addresses = servers.map(server => {
    const { address, port } = server.address() as AddressInfo;
    return { host: address, port };
  });
  return { addresses, [Symbol.asyncDispose]: close };
}

async function listen(
  server: Server,
  { host, port, explicit }: ListenerAddress,
  log: Log,
): Promise<Server | undefined> {
  const where = `${isIPv6(host.split('%')[0] ?? '') ? `[${host}]` : host}:${port}`;
  try {
    server.listen({ host, port, ipv6Only: host.includes(':') });
    await once(server, 'listening');
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!explicit && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) {
      log.warn({ listener: where }, 'this machine has no such address, going on without');
      return undefined;
    }
    throw new Error(`cannot listen on ${where}: ${describeError(error)}`, { cause: error });
  }
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT);
  await closed;
  clearTimeout(timer);
}
