import type { CommandName } from '../base/redis-commands.ts';
import { channel, keys, list, ordering, type RedisUse, type RedisUser } from '../base/redis-use.ts';
import { escapeGlob } from '../base/scan.ts';
import type { RedisConfig } from '../config/redis.ts';
import { drawnBackNames } from '../queue/draw-back.ts';
import { kindOf } from '../solver/kinds.ts';
import type { Config } from './load-config.ts';

const script = ['eval', 'evalsha'] as const;

/** BullMQ's scripts that add jobs. */
const toProduce = [
  ...list('eval evalsha del exists hget hgetall hmget hmset hset incr llen lpush lrange pttl rpush sadd'),
  ...list('scard xadd xtrim zadd zrange zrem zrevrangebyscore zscore'),
];
/** And those that take them and end them. */
const toConsume = [
  ...toProduce,
  ...list('client|setname bzpopmin get hdel hexists hincrby lrem ltrim pexpire rpoplpush set smembers srem'),
  ...list('zcard zpopmin zrangebyscore zremrangebyrank zremrangebyscore zrevrange'),
];

const toTakeTurns = list(
  'eval evalsha del exists get getdel hgetall hmget hset zincrby zrangebyscore zscore',
);
const toTell = list('eval evalsha del get pexpire set');
const toCount = list('eval evalsha del exists get pexpire set zadd zcount zrangebyscore zrem zrevrange');
const toBreak = list('eval evalsha del exists hdel hexists hget hmget hset pexpire time');
const toIndex = list('eval evalsha get hdel hget hmget hset sadd set srem zadd zrem');
const toDrawBack = list('del pexpire pttl');
const toDrawBackJobs = list('eval evalsha hget hset lrange zadd zrange zrangebyscore');
const toLookThrough = list('hscan scard zcard zcount zrangebyscore');

/**
 * All that Quarry touches in Redis, and who with what: whoever adds a key, a channel or a command says so
 * here; a verification says it in the file of its kind. The fleets of the integration tests run with these
 * rights and no others.
 */
const uses: RedisUse[] = [
  // who takes part, and who asks: installation.ts, hmac2.ts, tokens.ts, token-list.ts
  keys('installation', {
    ...{ intake: ['get', 'set'], worker: ['get', 'set'], scheduler: ['get', 'set'] },
    cli: ['get'],
  }),
  // whether Redis takes writes: health.ts
  keys('look', { intake: ['set'], worker: ['set'], scheduler: ['set'] }),
  keys('nonce:*', { intake: [...script, 'set', 'time'] }),
  keys('tokens', { cli: [...script, 'hdel', 'hget', 'hgetall', 'hset'] }),
  keys('token:*', { intake: [...script, 'get', 'mget'], cli: [...script, 'del', 'mget', 'set'] }),
  keys('token-use:*', {
    intake: [...script, 'del', 'get', 'mget', 'set'],
    worker: [...script, 'del'],
    cli: [...script, 'del', 'mget'],
  }),

  // from a post to its result: sign-queue.ts, turns.ts, sign-records.ts
  keys('sign:*', {
    intake: [...toProduce, ...toTakeTurns, 'hexists'],
    worker: [...toConsume, ...toTakeTurns, 'mget'],
    scheduler: [...toProduce, ...toTakeTurns],
  }),
  keys('turns:*', {
    intake: [...toTakeTurns, 'hexists', 'hincrby'],
    worker: toTakeTurns,
    scheduler: toTakeTurns,
  }),
  keys('promise:*', { intake: [...script, 'getdel', 'set'], scheduler: [...script, 'getdel'] }),
  keys('checkpoint:*', { worker: [...script, 'mget', 'get', 'set', 'del', 'expire'] }),
  keys('flight:*', { worker: [...script, 'get', 'set', 'del'] }),
  keys('result:*', {
    intake: ['get', 'mget'],
    worker: [...script, 'get', 'mget', 'set'],
    scheduler: ['get', 'mget'],
  }),
  keys('revoked:*', { intake: ['mget'], worker: ['mget', 'set'], scheduler: ['mget'] }),
  channel('results', { intake: ['subscribe'], worker: ['publish'], scheduler: ['subscribe'] }),

  // how many of a block's jobs run at once: block-slots.ts
  keys('slots:*', { worker: list('eval evalsha sadd scard sismember smembers srem') }),
  // how many of them wait, and how often its clients post: queue-max.ts, rates.ts
  keys('queued:*', {
    intake: list('eval evalsha set time zadd zcard zrange zrangebyscore zrem'),
    worker: list('eval evalsha zrem'),
  }),
  keys('rate:*', { intake: list('eval evalsha get set time') }),
  keys('parked:*', { worker: list('eval evalsha exists zadd zpopmin zrem') }),

  // why a challenge is likely to fail: kept-faults.ts
  ordering('look-fault:*', { worker: ['get', 'set'] }),

  // which configuration is in force: reload-messages.ts
  channel('reload', {
    ...{ intake: ['subscribe'], worker: ['subscribe'], scheduler: ['subscribe'] },
    cli: ['publish'],
  }),
  channel('reload-answers', {
    ...{ intake: ['publish'], worker: ['publish'], scheduler: ['publish'] },
    cli: ['subscribe'],
  }),
  channel('reload-responders', { responder: ['subscribe'], cli: ['publish'] }),

  // the other queues: revoke-queue.ts, schedule.ts, notices.ts
  keys('revoke:*', { intake: toProduce, worker: toConsume, cli: toProduce }),
  keys('schedule:*', { scheduler: toConsume }),
  keys('schedule-times', {
    scheduler: [...script, 'zadd', 'zrangebyscore', 'zrem', 'zscore'],
    cli: ['zadd'],
  }),
  keys('schedule-rules', { scheduler: ['hdel', 'hgetall', 'hset'] }),
  keys('schedule-minute', { scheduler: ['get', 'set'] }),
  keys('notify:*', { worker: toProduce, scheduler: toConsume }),
  keys('told:*', { worker: toTell, scheduler: toTell, cli: ['del'] }),

  // what the CAs allow: limits.ts, budget.ts, blocked-keys.ts, revoked-certificates.ts, standing.ts,
  // open-ca.ts, issuers.ts
  ordering('limit:*', {
    intake: ['mget'],
    worker: [...script, 'del', 'exists', 'get', 'mget', 'set'],
    cli: ['del', 'get', 'scan'],
  }),
  ordering('failed-orders:*', { worker: list('eval evalsha del lindex llen ltrim pexpire rpush') }),
  ordering('failed-clients:*', { worker: list('eval evalsha del hget hincrby pexpire') }),
  ordering('limit-met:*', { worker: ['get', 'set'] }),
  ordering('budget:*', { worker: toCount, cli: ['get'] }),
  keys('revoked-certificate:*', { intake: ['get'], worker: ['set'] }),
  ordering('blocked-key:*', { intake: ['mget'], worker: ['mget', 'set'], cli: ['del', 'mget', 'set'] }),
  keys('blocked-keys', { intake: ['smembers'], worker: ['sadd'], cli: ['sadd', 'smembers', 'srem'] }),
  channel('blocked-keys', { intake: ['subscribe'], worker: ['publish'], cli: ['publish'] }),
  ordering('breaker:*', { worker: toBreak, scheduler: toBreak, cli: ['hmget'] }),
  ordering('accounts', { worker: [...script, 'hget', 'hset', 'time'], cli: ['hget'] }),
  ordering('issuers', { worker: ['sadd', 'smembers'] }),

  // what a clock that was ahead has left: draw-back.ts
  ...drawnBackNames.map(names => keys(names, { scheduler: [...toDrawBack, 'scan'] })),
  ...['sign:*', 'revoke:*'].map(names => keys(names, { scheduler: toDrawBackJobs })),

  // renewals: renewal-index.ts, index-writer.ts, newest-index.ts, expiry-index.ts, unstored.ts,
  // index-storage.ts
  keys('renewals:fetched', { intake: ['hset'] }),
  keys('renewals:*', {
    worker: toIndex,
    scheduler: [...toIndex, ...toLookThrough],
    cli: [...toIndex, ...toLookThrough],
  }),
  keys('expiry:*', {
    worker: ['zadd', 'zrangebyscore', 'zrem'],
    scheduler: ['zadd', 'zcard', 'zmscore', 'zrangebyscore', 'zrem'],
  }),
  keys('unstored:*', {
    worker: [...script, 'del', 'get', 'mget', 'sadd', 'set', 'smembers', 'srem'],
    scheduler: [...script, 'del', 'get', 'mget', 'smembers', 'srem'],
  }),
  keys('indexing:*', { scheduler: ['hgetall', 'hset'] }),

  // the trail, and what is read out of it: trail.ts, drain.ts, files.ts, inventory/records.ts, writer.ts
  keys('trail', {
    intake: ['xadd'],
    worker: [...script, 'xadd'],
    scheduler: list('xadd xlen xrange xrevrange xtrim'),
    cli: ['xadd', 'xlen', 'xrange'],
  }),
  keys('trail-cursors', { scheduler: ['hdel', 'hget', 'hgetall', 'hset'], cli: ['hget'] }),
  keys('trail-head', { scheduler: [...script, 'get', 'set'], cli: ['del', 'get'] }),
  keys('inventory:*', {
    scheduler: list('eval evalsha hdel hexists hget hgetall hmget hset hsetnx zadd zrangebylex zrem'),
    cli: ['hgetall', 'hmget', 'zrangebylex'],
  }),
];

/** redis.ts of the storages */
const storageUse = (name: string) =>
  keys(`storage:${escapeGlob(name)}:*`, {
    intake: ['get'],
    worker: [...script, 'del', 'get', 'scan', 'set'],
    scheduler: [...script, 'del', 'get', 'scan', 'set'],
  });

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
