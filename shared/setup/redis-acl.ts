import type { CommandName } from '../base/redis-commands.ts';
import { ordering, type RedisUse, type RedisUser } from '../base/redis-use.ts';
import { escapeGlob } from '../base/scan.ts';
import type { RedisConfig } from '../config/redis.ts';
import { kindOf } from '../solver/kinds.ts';
import type { Config } from './load-config.ts';
import { storageUse, uses } from './redis-uses.ts';

/** Names as Redis matches them, and the commands that are meant for them. */
type Right = { pattern: string; commands: readonly CommandName[] };

/** What one user may do. */
export type RedisRights = { keys: Right[]; channels: Right[] };

type Rightful = Pick<Config, 'redis' | 'verifications' | 'storages' | 'renewals'>;

/** The least that a role, or the operator's commands, need with this configuration. */
export function rightsOf(user: RedisUser, config: Rightful): RedisRights {
  const { redis, verifications, storages, renewals } = config;
  const kinds = new Set([...verifications.values()].map(kindOf));
  const stores = [...storages.values()].filter(({ type }) => type === 'redis');
  const all = [
    ...uses,
    ...stores.map(({ name }) => storageUse(name)),
    ...[...kinds].flatMap(({ redisUses = [] }) => redisUses.map(use => ordering(use.names, use.by))),
  ];
  const alsoOrders = user === 'scheduler' && renewals.length > 0;
  const own = (chosen: RedisUse[]) =>
    chosen.flatMap(({ names, by, ordering }) => {
      const pattern = `${escapeGlob(redis.prefix)}:${names}`;
      const commands = [...(by[user] ?? []), ...(alsoOrders && ordering ? (by.worker ?? []) : [])];
      return commands.length > 0 ? [{ pattern, commands }] : [];
    });
  return { keys: own(all.filter(use => !use.channel)), channels: own(all.filter(use => use.channel)) };
}

/** It may not even ask what Redis there is. */
export const isReader = (user: RedisUser) => user === 'responder';

/**
 * A responder only reads, keys and the time, and all find out whether Redis answers. The others ask what
 * Redis there is, which they wait for to be loaded, keep steps together, and try out what they may do in such
 * a bracket.
 */
const basics = ['info', 'multi', 'exec', 'discard'];

/**
 * At a Sentinel: which Redis is the master, when another one becomes it, and for a name that it does not
 * know, which it knows.
 */
export const sentinelAclWords = [
  ...['-@all', '+sentinel|get-master-addr-by-name', '+sentinel|masters'],
  ...['resetchannels', '&+switch-master', '+subscribe', '+ping'],
];

/**
 * The words of `ACL SETUSER` (Redis 6.2 and later) behind the name and the password that give these rights
 * and no others.
 *
 * @param redis for a database that its URL names, or a cluster, a user needs one right more
 */
export function toAclWords(
  user: RedisUser,
  { keys, channels }: RedisRights,
  redis: Pick<RedisConfig, 'url' | 'cluster'> = {},
): string[] {
  const commands = new Set<string>([...keys, ...channels].flatMap(({ commands }) => commands));
  for (const one of ['ping', 'time']) commands.add(one);
  if (!isReader(user)) for (const one of basics) commands.add(one);
  if (/^[a-z]+:\/\/[^/]+\/0*[1-9]/i.test(redis.url ?? '')) commands.add('select');
  if (redis.cluster) commands.add('cluster|slots');
  return [
    'resetchannels',
    ...channels.map(({ pattern }) => `&${pattern}`),
    ...keys.map(({ pattern }) => `~${pattern}`),
    '-@all',
    ...[...commands].sort().map(name => `+${name}`),
  ];
}
