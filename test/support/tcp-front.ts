import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from './free-port.ts';

export type TcpFront = AsyncDisposable & {
  port: number;
  /** The servers behind it; a connection goes to the next in turn, and to another one where that is gone. */
  servers: { host: string; port: number }[];
};

/**
 * What a load balancer for TCP is in front of several servers. Servers see the loopback address that the
 * client comes from. Where a server ends, so do the connections to it.
 */
export async function startTcpFront(port?: number): Promise<TcpFront> {
  const servers: TcpFront['servers'] = [];
  const open = new Set<Socket>();
  let turn = 0;

  async function reach(localAddress: string): Promise<Socket | undefined> {
    for (let tries = 0; tries < servers.length; tries++) {
      const server = servers[turn++ % servers.length];
      if (!server) return;
      const socket = connect({ ...server, localAddress });
      const isThere = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      if (isThere) return socket;
    }
  }

  function join(one: Socket, other: Socket): void {
    open.add(one);
    one.on('error', () => {});
    one.once('close', () => {
      open.delete(one);
      other.destroy();
    });
    one.pipe(other);
  }

  const server = createServer(async client => {
    client.on('error', () => {});
    const behind = await reach(client.remoteAddress ?? '');
    if (!behind || client.destroyed) {
      behind?.destroy();
      client.destroy();
      return;
    }
    join(client, behind);
    join(behind, client);
  });
  server.listen(port ?? (await freePort()), '127.0.0.1').unref();
  await once(server, 'listening');
  const { port: own } = server.address() as { port: number };
  return {
    port: own,
    servers,
    async [Symbol.asyncDispose]() {
      const closed = new Promise(done => server.close(done));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
