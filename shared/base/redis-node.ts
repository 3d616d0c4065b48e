import { type Cluster, Command, type Redis as Node } from 'ioredis';

/** A connection to one node, or to a cluster: its commands are the same. */
export type Redis = Node | Cluster;

/**
 * The connection to the node that holds a key, for what has no key itself and so could be asked of any.
 *
 * @throws Error where no such node of a cluster is known yet
 */
export function nodeFor(redis: Redis, key: string): Node {
  if (!('nodes' in redis)) return redis;
  const [holder] = redis.slots[new Command('get', [key]).getSlot()] ?? [];
  const node = redis.nodes('master').find(({ options }) => `${options.host}:${options.port}` === holder);
  if (!node) throw new Error('no node of the cluster is known to hold this key');
  return node;
}
