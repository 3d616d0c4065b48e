import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { type RunningRole, ready, startRole, untilAborted } from '../../shared/base/role.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';

// The shell of a role, with a real Redis that comes and goes.

const start = (redisUrl: string, run: (role: RunningRole) => Promise<void>) =>
  startRole(
    'worker',
    { redisAddress: { url: redisUrl }, prefix: '{role}', clock: systemClock, log: quietLog },
    run,
  );

test('a role says how it is doing, as it reported last, and that Redis is away', async () => {
  await using redis = await startRedis();
  const [begun, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using role = start(redis.url, async ({ stopping, report }) => {
    begun.resolve();
    await opened.promise;
    report({ ...ready, notes: () => ['one CA is away'] });
    await untilAborted(stopping);
  });
  await begun.promise;
  assert.deepEqual([role.notReady(), role.notes?.()], ['starting', []]);
  opened.resolve();
  await waitUntil('the report', () => role.notReady() === undefined);
  assert.deepEqual(role.notes?.(), ['one CA is away']);
  await redis.kill();
  await waitUntil('the outage', () => role.notReady() === 'Redis cannot be reached');
});

test('a role that stops has its run end first, with Redis still open', async () => {
  await using redis = await startRedis();
  const begun = Promise.withResolvers<void>();
  let answer: unknown;
  {
    await using _ = start(redis.url, async ({ store, stopping }) => {
      begun.resolve();
      await untilAborted(stopping);
      answer = await store.redis.ping();
    });
    await begun.promise;
  }
  assert.equal(answer, 'PONG');
});

test('a role fails when its run does, unless it is because the role stops', async () => {
  await using redis = await startRedis();
  await using broken = start(redis.url, async () => {
    throw new Error('terms not accepted');
  });
  await assert.rejects(broken.failed, /terms not accepted/);

  let failed = false;
  {
    const begun = Promise.withResolvers<void>();
    await using stopped = start(redis.url, async ({ stopping }) => {
      begun.resolve();
      await untilAborted(stopping);
      throw stopping.reason;
    });
    stopped.failed.catch(() => {
      failed = true;
    });
    await begun.promise;
  }
  assert.equal(failed, false);
});

test('a role that waits for Redis stops all the same', async () => {
  const never = start('redis://127.0.0.1:1', () => assert.fail('it cannot begin'));
  assert.equal(never.notReady(), 'starting');
  await never[Symbol.asyncDispose]();

  await using redis = await startRedis();
  let reason: unknown;
  const role = start(redis.url, async ({ store, stopping, report }) => {
    report(ready);
    await untilAborted(stopping);
    await store.redis.ping().catch(error => {
      reason = error;
    });
  });
  await waitUntil('the run to begin', () => role.notReady() === undefined);
  await redis.kill();
  await waitUntil('the outage', () => role.notReady() !== undefined);
  await role[Symbol.asyncDispose]();
  assert.match(String(reason), /closed/);
});
