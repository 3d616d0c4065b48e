import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { type RunningRole, ready, startRole, untilAborted } from '../../shared/base/role.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
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

test('a role says why Redis takes no writes, logs that once, and stops all the same', async () => {
  await using redis = await startRedis();
  const control = openRedis({ url: redis.url }, 'patient', quietLog);
  const { log, lines } = keptLog();
  const parts = { redisAddress: { url: redis.url }, prefix: '{role}', clock: systemClock, log };
  let written: Promise<unknown> | undefined;
  const role = startRole('worker', parts, async ({ store, stopping, report }) => {
    report(ready);
    await untilAborted(stopping);
    written = store.redis.set('{role}:key', 'x');
    await written;
  });
  await waitUntil('the run to begin', () => role.notReady() === undefined);
  assert.equal(await role.findFault?.(), undefined);
  await control.config('SET', 'min-replicas-to-write', '1');
  const refusal = 'Redis refuses to write: too few of its replicas follow it (NOREPLICAS)';
  assert.equal(await role.findFault?.(), refusal);
  assert.deepEqual(await Promise.all([role.findFault?.(), role.findFault?.()]), [refusal, refusal]);
  assert.equal(role.notReady(), refusal);

  await control.config('SET', 'min-replicas-to-write', '0');
  await waitUntil('Redis to be found well', () => role.notReady() === undefined);
  await control.config('SET', 'min-replicas-to-write', '1');
  await role[Symbol.asyncDispose]();
  await assert.rejects(written ?? Promise.resolve(), /closed/);
  closeRedis(control);
  const reason = 'NOREPLICAS Not enough good replicas to write.';
  assert.deepEqual(
    lines.map(({ msg, reason }) => [msg, reason]),
    [
      [`${refusal}, trying again`, reason],
      ['Redis takes writes again', undefined],
      [`${refusal}, trying again`, reason],
    ],
  );
});

test('a role whose connection goes silent is not ready, and is again by itself', async () => {
  await using redis = await startRedis();
  await using proxy = await startRedisProxy(redis.port);
  await using role = start(proxy.url, async ({ stopping, report }) => {
    report(ready);
    await untilAborted(stopping);
  });
  await waitUntil('the run to begin', () => role.notReady() === undefined);
  proxy.goSilent();
  assert.equal(await role.findFault?.(), 'Redis does not answer');
  await waitUntil('Redis to answer', () => role.notReady() === undefined);
});

test('a role whose login Redis does not take any more says so, and its commands wait for it', async () => {
  await using redis = await startRedis();
  const control = openRedis({ url: redis.url }, 'patient', quietLog);
  await control.call('acl', 'setuser', 'host', 'on', '>old', '~*', '&*', '+@all');
  let written: Promise<unknown> | undefined;
  const asHost = redis.url.replace('//', '//host:old@');
  await using role = start(asHost, async ({ store, stopping, report }) => {
    report(ready);
    await untilAborted(stopping);
    written = store.redis.set('{role}:key', 'x');
  });
  await waitUntil('the run to begin', () => role.notReady() === undefined);
  await control.call('acl', 'setuser', 'host', 'resetpass', '>new');
  await control.call('client', 'kill', 'user', 'host');
  const refusal = 'Redis refuses to write: it does not know this user and password (WRONGPASS)';
  await waitUntil('the refusal', () => role.notReady() === refusal);
  await control.call('acl', 'setuser', 'host', '>old');
  await waitUntil('Redis to let it in', () => role.notReady() === undefined);
  await role[Symbol.asyncDispose]();
  assert.equal(await written, 'OK');
  closeRedis(control);
});
