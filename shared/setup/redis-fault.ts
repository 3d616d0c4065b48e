import { type RedisPlace, whereOf } from '../base/redis-address.ts';

const OLDEST = '6.2';

/** What Redis says of itself in INFO; a responder, which may not ask that, knows what HELLO says. */
export type RedisFacts = Record<string, string | undefined>;

/**
 * What of Redis itself stands in the way, and what to write or do about it.
 *
 * @param place where it was looked for
 */
export function findFault(facts: RedisFacts, place: RedisPlace): string | undefined {
  const { redis_version: version = '', redis_mode: mode, role, maxmemory_policy: policy } = facts;
  if (isOlder(version, OLDEST))
    return `is version ${version}, and Quarry needs ${OLDEST} or newer: update it, or name another one`;
  const at = 'url' in place ? withPort(whereOf(place)) : 'host:port';
  if (mode === 'sentinel') return `is a Sentinel: write sentinel = ${at} in place of url`;
  if (mode === 'cluster' && !('nodes' in place))
    return `is a node of a cluster: write cluster = ${at} in place of ${'url' in place ? 'url' : 'sentinel'}`;
  if (role === 'slave') {
    const { master_host: host, master_port: port } = facts;
    const primary = host === undefined ? 'its primary' : `its primary, ${host}:${port}`;
    return `is a replica, which takes no writes: give the URL of ${primary}`;
  }
  if (policy !== undefined && policy !== 'noeviction')
    return `may evict jobs and certificates (maxmemory-policy ${policy}): set maxmemory-policy noeviction in redis.conf`;
  return undefined;
}

const withPort = (where: string) => (/:\d+$/.test(where) ? where : `${where}:6379`);

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = than.split('.').map(Number);
  return version !== '' && (major < leastMajor || (major === leastMajor && minor < leastMinor));
}
