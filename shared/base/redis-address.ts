import { Redis as Node, type RedisOptions } from 'ioredis';

/** Where Redis is, with the login there. */
export type RedisAddress = {
  /** `redis://`, `rediss://`, or `unix:/path` of a socket, with a login `unix://USER:PASSWORD@/path`. */
  url: string;
};

/**
 * How a connection behaves while Redis is away: `impatient` fails a command at once (a request is waiting for
 * it), `patient` keeps it until Redis is back (a worker has nothing better to do).
 */
export type Patience = 'impatient' | 'patient';

const behaviours: Record<Patience | 'once', RedisOptions> = {
  // Clients, or a CA, wait behind it.
  impatient: {
    retryStrategy: retryWithin(500),
    enableOfflineQueue: false,
    commandTimeout: 800,
    maxRetriesPerRequest: 0,
  },
  patient: { retryStrategy: retryWithin(2_000), maxRetriesPerRequest: null },
  once: { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, commandTimeout: 5_000 },
};

function retryWithin(longest: number) {
  return (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 6), longest);
}

/**
 * @param enableReadyCheck as `openRedis` takes it
 * @param how `once`: the caller connects, and nothing is tried again
 */
export function connectTo({ url }: RedisAddress, how: Patience | 'once', enableReadyCheck: boolean): Node {
  // A user would need one more right for the client's info.
  const options = { connectTimeout: 5_000, disableClientInfo: true, enableReadyCheck, ...behaviours[how] };
  if (!url.startsWith('unix:')) return new Node(url, options);
  const [, username = '', password, path = ''] = /^unix:(?:\/\/([^:@/]*):([^@/]*)@)?(.*)$/.exec(url) ?? [];
  const login = password !== undefined && {
    ...(username && { username: decodeURIComponent(username) }),
    password: decodeURIComponent(password),
  };
  return new Node(path, { ...options, ...login });
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

export function withoutLogin(url: string): string {
  if (url.startsWith('unix:')) return url.replace(/^unix:\/\/[^/]*@/, 'unix:');
  const { protocol, host, pathname, search } = new URL(url);
  return `${protocol}//${host}${pathname}${search}`;
}

/** Where it leads, for people: the host, or the socket. */
export const whereOf = ({ url }: RedisAddress) =>
  url.startsWith('unix:') ? withoutLogin(url) : new URL(url).host;
