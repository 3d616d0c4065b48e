import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { closeRedis, openRedis } from '../../../shared/base/open-redis.ts';
import { reportOutages } from '../../../shared/base/outages.ts';
import type { Redis } from '../../../shared/base/redis.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('reportOutages() says once that Redis is away and once that it is back', () => {
  const { log, lines } = keptLog();
  const redis = new EventEmitter() as unknown as Redis;
  reportOutages(redis, log);
  redis.emit('ready');
  for (let attempt = 0; attempt < 3; attempt++) redis.emit('error', new Error('connect ECONNREFUSED'));
  redis.emit('ready');
  redis.emit('ready');
  redis.emit('error', new Error('connect ECONNREFUSED'));
  assert.deepEqual(
    lines.map(({ level, reason, msg }) => [level, msg, reason]),
    [
      [40, 'Redis cannot be reached, trying again', 'connect ECONNREFUSED; start it, or correct [redis]'],
      [30, 'Redis is back', undefined],
      [40, 'Redis cannot be reached, trying again', 'connect ECONNREFUSED; start it, or correct [redis]'],
    ],
  );
});

test('an outage behind Sentinels is not blamed on those that answer', () => {
  const { log, lines } = keptLog();
  const redis = new EventEmitter() as unknown as Redis;
  reportOutages(redis, log);
  const blamed = 'All sentinels are unreachable. Retrying from scratch after 100ms.';
  for (const said of [blamed, `${blamed} Last error: connect ECONNREFUSED 192.0.2.1:26379`]) {
    redis.emit('error', new Error(said));
    redis.emit('ready');
  }
  assert.deepEqual(
    lines.flatMap(({ reason }) => reason ?? []),
    [
      'no Sentinel names a master that answers',
      'no Sentinel names a master that answers; the last error: connect ECONNREFUSED 192.0.2.1:26379',
    ],
  );
});

test('closeRedis() tells of no outage that it makes itself', () => {
  const { log, lines } = keptLog();
  const redis = Object.assign(new EventEmitter(), {
    disconnect: () => void redis.emit('error', new Error('not writable')),
  });
  reportOutages(redis as unknown as Redis, log);
  closeRedis(redis as unknown as Redis);
  redis.emit('error', new Error('not writable'));
  assert.deepEqual(lines, []);
});

test('closeRedis() fails the commands that wait for a Redis that is away', async () => {
  for (const status of ['connecting', 'reconnecting'] as const) {
    const redis = openRedis({ url: 'redis://127.0.0.1:1' }, 'patient', quietLog);
    const failed = assert.rejects(redis.ping(), /closed/, status);
    await waitUntil(status, () => redis.status === status);
    closeRedis(redis);
    await failed;
    closeRedis(redis);
    await assert.rejects(redis.ping(), /closed/, status);
  }
});
