import type { SecureContext } from 'node:tls';
import { bracketed } from './identifier.ts';

/** A host name, or an IP address without brackets. */
export type Endpoint = { host: string; port: number };

/** Without a context: the public CAs are trusted, and no certificate is shown. */
export type RedisTls = { secureContext?: SecureContext };

// Both are read anew for each connection, so that what changes in a file needs no restart.
type ReadLogin = () => { username?: string; password: string };
type ReadTls = () => RedisTls;

/** Where Redis is. */
export type RedisPlace =
  /** `redis://`, `rediss://` or `unix:/path`; a login for a socket is `unix://USER:PASSWORD@/path`. */
  | { url: string }
  /** The Redis that Sentinels name as the master of this name. */
  | { sentinels: readonly Endpoint[]; master: string; sentinelLogin?: ReadLogin; sentinelTls?: ReadTls }
  /** Some nodes of a cluster. Of them all, Quarry needs the one that holds the hash tag of its prefix. */
  | { nodes: readonly Endpoint[]; prefix: string };

/** Where Redis is, and how one gets in. */
export type RedisAddress = RedisPlace & {
  /** Goes before the login of a URL; without a user it is for that of the URL. */
  login?: ReadLogin;
  /** What TLS needs to know; but for `rediss://` there is TLS only with it. */
  tls?: ReadTls;
};

export function withoutLogin(url: string): string {
  if (url.startsWith('unix:')) return url.replace(/^unix:\/\/[^/]*@/, 'unix:');
  const { protocol, host, pathname, search } = new URL(url);
  return `${protocol}//${host}${pathname}${search}`;
}

export const formatEndpoint = ({ host, port }: Endpoint) => `${bracketed(host)}:${port}`;

/** Where it is, for people, to follow `Redis at`. */
export function whereOf(place: RedisPlace): string {
  if ('sentinels' in place)
    return `${place.master} of the Sentinels ${place.sentinels.map(formatEndpoint).join(', ')}`;
  if ('nodes' in place) return place.nodes.map(formatEndpoint).join(', ');
  return place.url.startsWith('unix:') ? withoutLogin(place.url) : new URL(place.url).host;
}
