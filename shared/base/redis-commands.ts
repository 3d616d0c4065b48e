/** The arguments of a command that would touch this key; it is never run with them (redis-fitness.ts). */
type Sample = (key: string) => readonly string[];

/** Behind the key, so many more words are the fewest that Redis takes. */
const and =
  (more: number): Sample =>
  key => [key, ...Array.from({ length: more }, () => '0')];
const withoutKey =
  (...words: string[]): Sample =>
  () =>
    words;
const script: Sample = key => ['', '1', key];

/** The commands that roles may be given (redis-acl.ts), each with arguments that Redis takes for it. */
export const commandSamples = {
  bzpopmin: and(1),
  'client|setname': withoutKey('quarry'),
  del: and(0),
  eval: script,
  evalsha: script,
  exists: and(0),
  expire: and(1),
  get: and(0),
  getdel: and(0),
  hdel: and(1),
  hexists: and(1),
  hget: and(1),
  hgetall: and(0),
  hincrby: and(2),
  hmget: and(1),
  hmset: and(2),
  hscan: and(1),
  hset: and(2),
  hsetnx: and(2),
  incr: and(0),
  info: withoutKey(),
  lindex: and(1),
  llen: and(0),
  lpush: and(1),
  lrange: and(2),
  lrem: and(2),
  ltrim: and(2),
  mget: and(0),
  persist: and(0),
  pexpire: and(1),
  pttl: and(0),
  publish: and(1),
  rpoplpush: key => [key, key],
  rpush: and(1),
  sadd: and(1),
  scan: withoutKey('0'),
  scard: and(0),
  set: and(1),
  sismember: and(1),
  smembers: and(0),
  srem: and(1),
  subscribe: and(0),
  time: withoutKey(),
  xadd: key => [key, '*', '0', '0'],
  xlen: and(0),
  xrange: and(2),
  xrevrange: and(2),
  xtrim: key => [key, 'MAXLEN', '0'],
  zadd: and(2),
  zcard: and(0),
  zcount: and(2),
  zincrby: and(2),
  zmscore: and(1),
  zpopmin: and(0),
  zrange: and(2),
  zrangebylex: and(2),
  zrangebyscore: and(2),
  zrank: and(1),
  zrem: and(1),
  zremrangebyrank: and(2),
  zremrangebyscore: and(2),
  zrevrange: and(2),
  zrevrangebyscore: and(2),
  zscan: and(1),
  zscore: and(1),
} satisfies Record<string, Sample>;

export type CommandName = keyof typeof commandSamples;
