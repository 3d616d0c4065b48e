import { channel, keys, list, ordering, type RedisUse } from '../base/redis-use.ts';
import { escapeGlob } from '../base/scan.ts';
import { drawnBackNames } from '../queue/draw-back.ts';

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
export const uses: RedisUse[] = [
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
    intake: [...script, 'get', 'mget', 'set'],
    worker: [...script, 'del'],
    cli: [...script, 'del', 'mget'],
  }),

  // the ACME server: acme-server/nonces.ts, accounts.ts, orders.ts, certificates.ts,
  // known-windows.ts
  keys('acme:nonce:*', { intake: [...script, 'set'] }),
  keys('acme:account:*', {
    intake: list('eval evalsha exists get persist pexpire pttl set'),
    worker: list('eval evalsha exists get persist'),
    cli: list('eval evalsha get mget set'),
  }),
  keys('acme:key:*', {
    intake: list('eval evalsha del get persist pexpire set'),
    worker: list('eval evalsha persist'),
  }),
  keys('acme:use:*', {
    intake: list('eval evalsha hget hincrby hset persist pexpire'),
    worker: list('eval evalsha hget hincrby persist'),
    cli: ['hmget'],
  }),
  keys('acme:accounts', {
    intake: list('eval evalsha zadd zremrangebyscore'),
    worker: list('eval evalsha zadd'),
    cli: ['zscan'],
  }),
  keys('acme:new-accounts:*', { intake: list('eval evalsha get set time') }),
  keys('acme:order:*', {
    intake: list('eval evalsha exists get pexpire pttl set'),
    worker: [...script, 'get', 'set'],
  }),
  keys('acme:orders:*', {
    intake: list('eval evalsha pexpire pttl zadd zrange zremrangebyrank zrevrangebyscore'),
    worker: [...script, 'pexpire', 'pttl'],
  }),
  keys('acme:unfinished:*', {
    intake: list('eval evalsha pexpire pttl zadd zcard zrange zrem zremrangebyscore'),
    worker: [...script, 'zadd', 'zrem'],
  }),
  keys('acme:certificate:*', {
    intake: [...script, 'get', 'set'],
    worker: [...script, 'get', 'set'],
    cli: [...script, 'get', 'mget', 'scan', 'set'],
  }),
  keys('acme:renewal:*', { intake: [...script, 'get', 'set'], worker: [...script, 'get', 'set'] }),
  keys('acme:renewal-info:*', { intake: ['get'], worker: ['get', 'set'] }),

  // from a post to its result: sign-queue.ts, turns.ts, sign-records.ts
  keys('sign:*', {
    intake: [...toProduce, ...toTakeTurns, 'hexists', 'zrank'],
    worker: [...toConsume, ...toTakeTurns, 'mget'],
    scheduler: [...toProduce, ...toTakeTurns],
  }),
  keys('turns:*', {
    intake: [...toTakeTurns, 'hexists', 'hincrby'],
    worker: toTakeTurns,
    scheduler: toTakeTurns,
  }),
  keys('promise:*', { intake: [...script, 'getdel', 'set'], scheduler: [...script, 'getdel'] }),
  keys('checkpoint:*', {
    intake: [...script, 'get'],
    worker: [...script, 'mget', 'get', 'set', 'del', 'expire'],
  }),
  keys('flight:*', { worker: [...script, 'get', 'set', 'del'] }),
  keys('result:*', {
    intake: ['get', 'mget'],
    worker: [...script, 'get', 'mget', 'set'],
    scheduler: ['get', 'mget'],
  }),
  keys('revoked:*', { intake: ['mget'], worker: ['mget', 'set'], scheduler: ['mget'] }),
  channel('results', { intake: ['subscribe'], worker: ['publish'], scheduler: ['subscribe'] }),
  // who listens for what is going on with a job: moves.ts, standing.ts
  keys('heard:*', { intake: [...script, 'set'], worker: [...script, 'get', 'mget', 'set'] }),
  channel('moves', { intake: ['subscribe'], worker: ['publish'], scheduler: ['subscribe'] }),

  // how many of a block's jobs run at once: block-slots.ts
  keys('slots:*', { worker: list('eval evalsha sadd scard sismember smembers srem') }),
  // how many of them wait, and how often its clients post: queue-max.ts, rates.ts
  keys('queued:*', {
    intake: list('eval evalsha set time zadd zcard zrange zrangebyscore zrem'),
    worker: list('eval evalsha zrem'),
  }),
  keys('rate:*', { intake: list('eval evalsha get set time') }),
  keys('parked:*', {
    intake: [...script, 'zscore'],
    worker: list('eval evalsha exists zadd zpopmin zrem'),
  }),

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

  // the other queues: revoke-queue.ts, acme-queue.ts, schedule.ts, notices.ts
  keys('revoke:*', { intake: toProduce, worker: toConsume, cli: toProduce }),
  keys('acme-jobs:*', { intake: toProduce, worker: toConsume }),
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
    intake: [...script, 'exists', 'mget'],
    worker: [...script, 'del', 'exists', 'get', 'mget', 'set'],
    cli: ['del', 'get', 'scan'],
  }),
  ordering('failed-orders:*', { worker: list('eval evalsha del lindex llen ltrim pexpire rpush') }),
  ordering('failed-clients:*', { worker: list('eval evalsha del hget hincrby pexpire') }),
  ordering('limit-met:*', { worker: ['get', 'set'] }),
  ordering('budget:*', { worker: toCount, cli: ['get'] }),
  keys('revoked-certificate:*', { intake: ['get'], worker: ['set'] }),
  ordering('blocked-key:*', {
    intake: [...script, 'exists', 'mget'],
    worker: ['mget', 'set'],
    cli: ['del', 'mget', 'set'],
  }),
  keys('blocked-keys', { intake: ['smembers'], worker: ['sadd'], cli: ['sadd', 'smembers', 'srem'] }),
  channel('blocked-keys', { intake: ['subscribe'], worker: ['publish'], cli: ['publish'] }),
  ordering('breaker:*', { worker: toBreak, scheduler: toBreak, cli: ['hmget'] }),
  ordering('accounts', { worker: [...script, 'hget', 'hset', 'time'], cli: ['hget'] }),
  ordering('issuers', { worker: ['sadd', 'smembers'] }),

  // what a clock that was ahead has left: draw-back.ts
  ...drawnBackNames.map(names => keys(names, { scheduler: [...toDrawBack, 'scan'] })),
  ...['sign:*', 'revoke:*', 'acme-jobs:*'].map(names => keys(names, { scheduler: toDrawBackJobs })),

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
    intake: [...script, 'xadd'],
    worker: [...script, 'xadd'],
    scheduler: list('xadd xlen xrange xrevrange xtrim'),
    cli: ['xadd', 'xlen', 'xrange'],
  }),
  keys('trail-cursors', { scheduler: ['hdel', 'hget', 'hgetall', 'hset'], cli: ['hget'] }),
  keys('trail-head', { scheduler: [...script, 'get', 'set'], cli: ['del', 'get'] }),
  keys('inventory:*', {
    scheduler: list('eval evalsha hdel hexists hget hgetall hmget hset hsetnx zadd zrangebylex zrem'),
    intake: ['hgetall', 'hmget', 'zrangebylex'],
    cli: ['hgetall', 'hmget', 'zrangebylex'],
  }),
];

/** redis.ts of the storages */
export const storageUse = (name: string) =>
  keys(`storage:${escapeGlob(name)}:*`, {
    intake: ['get'],
    worker: [...script, 'del', 'get', 'scan', 'set'],
    scheduler: [...script, 'del', 'get', 'scan', 'set'],
  });
