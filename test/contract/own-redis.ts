import { after } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Redis, Store } from '../../shared/base/redis.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';

export type OwnRedis = {
  url: string;
  /** A connection of the test's own. */
  redis: Redis;
  /** One more, as another process would have. */
  connect(): Redis;
  /** An empty store over that connection. */
  newStore(): Store;
};

/** A Redis of a test file's own. It ends with the file, and so do the connections to it. */
export async function startOwnRedis(): Promise<OwnRedis> {
  const server = await startRedis();
  const connections: Redis[] = [];
  after(async () => {
    connections.forEach(closeRedis);
    await server[Symbol.asyncDispose]();
  });
  const connect = () => {
    const redis = openRedis({ url: server.url }, 'patient', quietLog);
    connections.push(redis);
    return redis;
  };
  const redis = connect();
  let stores = 0;
  return { url: server.url, redis, connect, newStore: () => ({ redis, prefix: `{store-${++stores}}` }) };
}
