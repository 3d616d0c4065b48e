import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type Relay = AsyncDisposable & {
  port: number;
  /** How many connections were made through it. */
  readonly made: number;
  /** Ends once clients are heard no more. */
  halted: Promise<void>;
};

/**
 * A TCP relay to a port of this host.
 *
 * @param lastWords once a client has said this, which is still passed on, no client is heard any more
 */
export async function startRelay(port: number, lastWords?: string): Promise<Relay> {
  const sockets = new Set<Socket>();
  const halt = Promise.withResolvers<void>();
  let deaf = false;
  let made = 0;
  const server = createServer(socket => {
    made++;
    const onward = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      if (from === onward) from.pipe(to);
      else from.on('data', hear(to));
    }
  });
  function hear(to: Socket) {
    return (chunk: Buffer) => {
      if (deaf) return;
      to.write(chunk);
      deaf = lastWords !== undefined && chunk.includes(lastWords);
      if (deaf) halt.resolve();
    };
  }
  server.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  return {
    halted: halt.promise,
    port: (server.address() as AddressInfo).port,
    get made() {
      return made;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
