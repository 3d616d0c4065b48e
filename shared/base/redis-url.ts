import { Redis, type RedisOptions } from 'ioredis';

/** @param url as `openRedis` takes it */
export function connectTo(url: string, options: RedisOptions): Redis {
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
