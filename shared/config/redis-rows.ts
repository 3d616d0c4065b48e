import { inCode, type OptionRows } from './option-rows.ts';
import { DIR, MASTER, PREFIX } from './redis.ts';

/** Of `[redis]`. */
export const redisRows: OptionRows = {
  url: {
    meaning: '`redis://`, `rediss://`, or `unix:/path`',
    otherwise: 'that of `REDIS_URL`; else a private one, with `quarry up`',
  },
  sentinel: {
    meaning: 'in place of `url`: `host:port` of a [Sentinel](shared/base/redis.md)',
    otherwise: 'none',
  },
  cluster: {
    meaning: 'in place of `url`: `host:port` of a node of a [cluster](shared/base/redis.md)',
    otherwise: 'none',
  },
  user: {
    meaning: 'the login of all that have none of their own, at every node the same',
    otherwise: "the URL's, or none",
  },
  password: {
    meaning: 'its password; the path of its file may be in `REDIS_PASSWORD_FILE`, too',
    otherwise: "the URL's, or none",
  },
  'user-ROLE': {
    meaning:
      'the [Redis user](shared/setup/redis-users.md) of `intake`, `worker`, `responder`, `scheduler` or `cli`',
    otherwise: '`user`',
  },
  'password-ROLE': { meaning: 'its password', otherwise: '`password`' },
  'sentinel-master': { meaning: 'what the Sentinels call the Redis', otherwise: inCode(MASTER) },
  'sentinel-user': { meaning: 'the login at the Sentinels', otherwise: 'none' },
  'sentinel-password': { meaning: 'its password', otherwise: 'none' },
  'sentinel-tls': { meaning: 'whether the Sentinels speak TLS', otherwise: 'as `tls`' },
  tls: {
    meaning: "whether Sentinels' Redis, or the cluster, speaks TLS; a URL says so itself",
    otherwise: '`no`',
  },
  'ca-file': {
    meaning: "PEM of the authorities that certificates are checked with, in place of the system's",
    otherwise: "the system's",
  },
  'tls-cert': { meaning: 'PEM of a certificate to show', otherwise: 'none' },
  'tls-key': { meaning: 'PEM of its key', otherwise: 'none' },
  prefix: { meaning: 'of all keys; a cluster needs the braces', otherwise: inCode(PREFIX) },
  dir: {
    meaning: 'of the private Redis; a relative one starts where Quarry is started',
    otherwise: inCode(DIR),
  },
};
