import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { systemClock } from '../../shared/base/basics.ts';
import { rightsOf } from '../../shared/setup/redis-acl.ts';
import { findFault } from '../../shared/setup/redis-fault.ts';
import { lookAtRedis, untilRedisFits } from '../../shared/setup/redis-fitness.ts';
import { account, auth, loadText } from '../shared/setup/load-text.ts';
import { freePort } from '../support/free-port.ts';
import { startRedis } from '../support/redis.ts';
import { nodeSettings } from '../support/redis-cluster.ts';

const config = await loadText(account + auth);
const rights = rightsOf('worker', config);

/** [what Redis is, its settings, what is said behind its address] */
const unfit: [string, Record<string, string>, string][] = [
  [
    'evicts',
    { 'maxmemory-policy': 'allkeys-lru' },
    'may evict jobs and certificates (maxmemory-policy allkeys-lru): set maxmemory-policy noeviction in redis.conf',
  ],
  [
    'is a node of a cluster',
    await nodeSettings(),
    'is a node of a cluster: write cluster = HERE in place of url',
  ],
];

for (const [what, settings, said] of unfit)
  test(`a Redis that ${what} is of no use, and says so in one line`, async () => {
    await using redis = await startRedis({ settings });
    const at = `127.0.0.1:${redis.port}`;
    const fault = `Redis at ${at} ${said.replace('HERE', at)}`;
    assert.deepEqual(await lookAtRedis('worker', { url: redis.url }, rights), { state: 'unfit', fault });
  });

test('a Redis that is a replica is of no use, and names its primary', async () => {
  await using redis = await startRedis();
  const client = new Redis(redis.url);
  await client.replicaof('127.0.0.1', 1);
  client.disconnect();
  const fault =
    `Redis at 127.0.0.1:${redis.port} is a replica, which takes no writes: ` +
    'give the URL of its primary, 127.0.0.1:1';
  assert.deepEqual(await lookAtRedis('worker', { url: redis.url }, rights), { state: 'unfit', fault });
});

test('a Redis is of use from 6.2 on', () => {
  const place = { url: 'redis://r' };
  const facts = { redis_mode: 'standalone', role: 'master', maxmemory_policy: 'noeviction' };
  const of = (version: string) => findFault({ ...facts, redis_version: version }, place);
  assert.deepEqual(['6.0.16', '5.0.7', '6.2.0', '7.0.15', '8.2.1', '10.0.0'].map(of), [
    'is version 6.0.16, and Quarry needs 6.2 or newer: update it, or name another one',
    'is version 5.0.7, and Quarry needs 6.2 or newer: update it, or name another one',
    ...Array.from({ length: 4 }, () => undefined),
  ]);
  assert.equal(findFault({}, place), undefined);
});

test('a Redis that is away is waited for, and one that is unfit is not', async () => {
  const port = await freePort();
  const look = () => lookAtRedis('worker', { url: `redis://127.0.0.1:${port}` }, rights);
  assert.deepEqual(await look(), { state: 'away' });
  const waiting = untilRedisFits(look, systemClock, AbortSignal.timeout(60_000));
  await using redis = await startRedis({ port });
  await waiting;
  await redis.stop();
  await using _evicting = await startRedis({ port, settings: { 'maxmemory-policy': 'volatile-ttl' } });
  await assert.rejects(untilRedisFits(look, systemClock, AbortSignal.timeout(60_000)), /volatile-ttl/);
});

test('waiting for a Redis that is away ends with its signal', async () => {
  const stop = new AbortController();
  const waiting = untilRedisFits(async () => ({ state: 'away' }), systemClock, stop.signal);
  stop.abort(new Error('stopping'));
  await assert.rejects(waiting, /^Error: stopping$/);
});
