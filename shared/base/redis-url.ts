import { Redis, type RedisOptions } from 'ioredis';

/**
 * How a connection behaves while Redis is away: `impatient` fails a command at once (a request is waiting for
 * it), `patient` keeps it until Redis is back (a worker has nothing better to do).
 */
export type Patience = 'impatient' | 'patient';

/** @param url and enableReadyCheck: as `openRedis` takes them */
export function connectTo(url: string, patience: Patience, enableReadyCheck: boolean): Redis {
  const options: RedisOptions = {
    connectTimeout: 5_000,
    disableClientInfo: true, // a user would need one more right for it
    enableReadyCheck,
    // Clients, or a CA, wait behind an impatient connection.
    retryStrategy: attempt =>
      Math.min(50 * 2 ** Math.min(attempt, 6), patience === 'impatient' ? 500 : 2_000),
    ...(patience === 'impatient'
      ? { enableOfflineQueue: false, commandTimeout: 800, maxRetriesPerRequest: 0 }
      : { maxRetriesPerRequest: null }),
  };
  if (!url.startsWith('unix:')) return new Redis(url, options);
  const [, username = '', password, path = ''] = /^unix:(?:\/\/([^:@/]*):([^@/]*)@)?(.*)$/.exec(url) ?? [];
  const login = password !== undefined && {
    ...(username && { username: decodeURIComponent(username) }),
    password: decodeURIComponent(password),
  };
  return new Redis(path, { ...options, ...login });
}

/** The URL with another login. @param name that of the URL where it is `undefined` */
export function withLogin(
  url: string,
  { name, password }: { name: string | undefined; password: string },
): string {
  const login = (user: string) => `${user}:${encodeURIComponent(password)}`;
  const socket = /^unix:(.*)$/.exec(url)?.[1];
  if (socket !== undefined) return `unix://${login(encodeURIComponent(name ?? ''))}@${socket}`;
  const { protocol, username, host, pathname, search } = new URL(url);
  const user = name === undefined ? username : encodeURIComponent(name);
  return `${protocol}//${login(user)}@${host}${pathname}${search}`;
}
