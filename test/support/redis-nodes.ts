import { Redis as Client } from 'ioredis';
import type { Redis } from './redis.ts';

/** Asks one node of several, on a connection of its own. */
export async function askNode<T>(port: number, ask: (node: Client) => Promise<T>): Promise<T> {
  const node = new Client(port, '127.0.0.1', {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    commandTimeout: 5_000,
    enableReadyCheck: false,
    disableClientInfo: true,
  });
  node.on('error', () => {}); // the rejection says the same
  try {
    await node.connect();
    return await ask(node);
  } finally {
    node.disconnect();
  }
}

/** Starts all at once; where one does not start, the others end with `started`. */
export async function startAll<Node extends Redis>(
  starting: readonly Promise<Node>[],
  started: AsyncDisposableStack,
): Promise<Node[]> {
  const ends = await Promise.allSettled(starting);
  const nodes = ends.flatMap(one => (one.status === 'fulfilled' ? [started.use(one.value)] : []));
  for (const one of ends) if (one.status === 'rejected') throw one.reason;
  return nodes;
}
