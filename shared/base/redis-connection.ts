import { Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress } from './redis-address.ts';
import { clusterConnector } from './redis-cluster.ts';

/**
 * How a connection behaves while Redis is away: `impatient` fails a command at once (a request is waiting for
 * it), `patient` keeps it until Redis is back (a worker has nothing better to do).
 */
export type Patience = 'impatient' | 'patient';

const retryWithin = (longest: number) => (attempt: number) =>
  Math.min(50 * 2 ** Math.min(attempt, 6), longest);

/** @param strategy after how many milliseconds the n-th attempt follows; `null`: no more */
const retrying = (strategy: (attempt: number) => number | null): Options => ({
  retryStrategy: strategy,
  sentinelRetryStrategy: strategy,
});

const behaviours: Record<Patience | 'once', Options> = {
  // Clients, or a CA, wait behind it.
  impatient: {
    ...retrying(retryWithin(500)),
    enableOfflineQueue: false,
    commandTimeout: 800,
    maxRetriesPerRequest: 0,
  },
  patient: { ...retrying(retryWithin(2_000)), maxRetriesPerRequest: null },
  once: {
    ...retrying(() => null),
    lazyConnect: true,
    connectTimeout: 2_000,
    maxRetriesPerRequest: 0,
    commandTimeout: 5_000,
  },
};

/**
 * @param how `once`: the caller connects, and nothing is tried again
 * @param enableReadyCheck as `openRedis` takes it
 * @throws Error in one line where a file of the address cannot be used
 */
export function connectTo(address: RedisAddress, how: Patience | 'once', enableReadyCheck: boolean): Redis {
  readAccess(address);
  return new Connection(address, {
    connectTimeout: 5_000,
    disableClientInfo: true, // a user would need one more right for it
    enableReadyCheck,
    maxLoadingRetryTime: 500, // else it sleeps for as long as Redis expects to load
    ...behaviours[how],
  });
}

type Options = Omit<RedisOptions, 'replyMapping'>;

/**
 * A connection to the Redis that has Quarry's keys, whichever that is: Sentinels, or the nodes of a cluster,
 * are asked for it before each attempt to connect.
 */
class Connection extends Redis {
  readonly #address: RedisAddress;

  constructor(address: RedisAddress, options: Options) {
    super(placeOf(address) as string, {
      ...options,
      lazyConnect: true,
    });
    this.#address = address;
    this.#readAccess();
    if (options.lazyConnect) return;
    this.options.lazyConnect = false;
    this.connect().catch(() => {}); // it is told as an error, and tried again
  }

  override connect(...args: Parameters<Redis['connect']>): Promise<void> {
    this.#readAccess();
    return super.connect(...args);
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    const options = this.options as Options;
    return new Connection(this.#address, { ...options, ...(override as Options) });
  }

  /** Where a file cannot be used, as while it is exchanged, what it said before goes on. */
  #readAccess(): void {
    try {
      Object.assign(this.options, readAccess(this.#address));
    } catch {
      // whoever opens the first connection was told
    }
  }
}

/** As the first argument of ioredis, which takes a URL, or options. */
function placeOf(address: RedisAddress): string | RedisOptions {
  if ('nodes' in address) return { Connector: clusterConnector(address) };
  if ('sentinels' in address) {
    const { master: name, tls } = address;
    return {
      sentinels: [...address.sentinels],
      name,
      role: 'master',
      updateSentinels: false, // it would be one more right, and addresses that may not lead there from here
      sentinelCommandTimeout: 1_000,
      enableTLSForSentinelMode: tls !== undefined,
    };
  }
  const { url } = address;
  if (!url.startsWith('unix:')) return url;
  const [, username, password, path = ''] = /^unix:(?:\/\/([^:@/]*):([^@/]*)@)?(.*)$/.exec(url) ?? [];
  return {
    path,
    ...(username && { username: decodeURIComponent(username) }),
    ...(password !== undefined && { password: decodeURIComponent(password) }),
  };
}

function readAccess(address: RedisAddress): RedisOptions {
  const { username, password } = ('sentinels' in address && address.sentinelLogin?.()) || {};
  return {
    ...address.login?.(),
    ...(address.tls && { tls: address.tls() }),
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...('sentinels' in address && address.sentinelTls && { sentinelTLS: address.sentinelTls() }),
  };
}
