import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Command, Redis, type RedisOptions } from 'ioredis';
import type { Endpoint } from './redis-address.ts';

/** How long a node may take to say which one has a slot: others can be asked. Milliseconds. */
const LONGEST_ANSWER = 1_000;

/**
 * Who has the keys with a prefix, as a node of the cluster knows it.
 *
 * @param redis a connection to any node
 * @param asked the same node, as it need not know its own address
 * @returns the holder, and all nodes that it has told of
 * @throws Error where it knows of none, or what Redis says
 */
export async function askHolder(
  redis: Redis,
  { prefix, asked }: { prefix: string; asked: Endpoint },
): Promise<{ holder: Endpoint; nodes: Endpoint[] }> {
  const slot = new Command('get', [prefix]).getSlot();
  const ranges = (await redis.cluster('SLOTS')).map(([first, last, ...nodes]) => ({
    isOurs: first <= slot && slot <= last,
    nodes: nodes.map(([host, port]) => ({ host: host && host !== '?' ? host : asked.host, port })),
  }));
  const holder = ranges.find(({ isOurs }) => isOurs)?.nodes[0];
  if (!holder) throw new Error(`no node of the cluster has the slot of ${prefix}`);
  return { holder, nodes: ranges.flatMap(({ nodes }) => nodes) };
}

/**
 * Leads ioredis to the node of a cluster that has all keys with a prefix, as its own connector leads to the
 * master that Sentinels name. All keys of Quarry are in one slot, so that one connection is what it needs:
 * it behaves as one to a Redis that stands alone, in transactions, scripts, blocking commands and outages.
 */
export function clusterConnector({
  nodes: written,
  prefix,
}: {
  nodes: readonly Endpoint[];
  prefix: string;
}): NonNullable<RedisOptions['Connector']> {
  return class ClusterConnector extends AbstractConnector {
    readonly #options: RedisOptions;
    /** In the order in which they are asked. */
    #nodes = [...written];

    constructor(options: unknown) {
      super((options as RedisOptions).disconnectTimeout ?? 0);
      this.#options = options as RedisOptions;
    }

    /** A replica has given way, or has not heard yet that it is to lead. */
    override check({ role }: { role?: string }): boolean {
      return role === undefined || role === 'master';
    }

    override async connect(tell: (type: string, error: Error) => void): Promise<Socket> {
      this.connecting = true;
      for (let attempt = 1; ; attempt++) {
        try {
          return this.#open(await this.#findHolder());
        } catch (error) {
          const pause = this.connecting ? this.#options.sentinelRetryStrategy?.(attempt) : null;
          if (typeof pause !== 'number') throw error;
          tell('error', error as Error);
          await delay(pause);
        }
      }
    }

    #open(holder: Endpoint): Socket {
      if (!this.connecting) throw new Error('Connection is closed.');
      const { tls } = this.#options;
      this.stream = tls ? connectTls({ ...holder, ...tls }) : connect(holder);
      this.stream.once('error', error => {
        this.firstError = error;
      });
      return this.stream as Socket;
    }

    async #findHolder(): Promise<Endpoint> {
      let failure = new Error('the cluster has no nodes');
      for (const asked of this.#nodes) {
        try {
          const { holder, nodes } = await this.#ask(asked);
          this.#nodes = unique([...written, ...nodes]);
          return holder;
        } catch (error) {
          failure = error as Error;
        }
        if (!this.connecting) break;
        // The next attempt begins with another one.
        this.#nodes = [...this.#nodes.filter(one => one !== asked), asked];
      }
      throw failure;
    }

    async #ask(asked: Endpoint) {
      const { username, password, tls, connectTimeout } = this.#options;
      const redis = new Redis({
        ...asked,
        ...{ username, password, tls, connectTimeout },
        ...{ lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 },
        ...{ enableReadyCheck: false, disableClientInfo: true, commandTimeout: LONGEST_ANSWER },
      });
      let failure: Error | undefined;
      redis.on('error', error => {
        failure = error;
      });
      try {
        await redis.connect();
        return await askHolder(redis, { prefix, asked });
      } catch (error) {
        throw failure ?? error;
      } finally {
        redis.disconnect();
      }
    }
  };
}

const unique = (nodes: readonly Endpoint[]) => [
  ...new Map(nodes.map(node => [`${node.host} ${node.port}`, node])).values(),
];
