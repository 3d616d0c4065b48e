import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store } from '../../shared/base/redis.ts';
import { openBlockedKeys, watchBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { openLimits } from '../../shared/limits/open-limits.ts';
import { refuseKey } from '../../shared/limits/standing-limit.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

const { url, redis, newStore } = await startOwnRedis();
const [one, other] = ['a'.repeat(64), 'b'.repeat(64)];
const why = { reason: 'it was on a USB stick', at: Date.parse('2026-11-27T03:00:00Z') };
const scope = { account: 'default', ca: 'ca.example' };
const watch = (store: Store) => watchBlockedKeys(store, { redisAddress: { url }, log: quietLog });

test('a key is blocked for good, with the reason and the time of the first who did it, until it is unblocked', async () => {
  const keys = openBlockedKeys(newStore());
  await keys.block(one, why);
  await keys.block(one, { reason: 'another', at: 0 });
  await keys.block(other, { reason: 'another', at: 0 });
  assert.deepEqual(await keys.find(one), why);
  assert.deepEqual((await keys.list()).get(one), why);
  assert.equal((await keys.list()).size, 2);
  assert.equal(await keys.unblock(one), true);
  assert.deepEqual([await keys.find(one), (await keys.list()).size], [undefined, 1]);
  assert.equal(await keys.unblock(one), false);
});

test('nothing of a blocked key ever expires', async () => {
  const store = newStore();
  await openBlockedKeys(store).block(one, why);
  const written = await redis.keys(`${store.prefix}:*`);
  assert.deepEqual(written.length, 2);
  for (const key of written) assert.equal(await redis.ttl(key), -1, key);
});

test('a blocked key stands against every order, asked for in the round trip of the limits', async () => {
  const store = newStore();
  const limits = openLimits(store, scope, turnedClock(0));
  await openBlockedKeys(store).block(one, why);
  const identifiers = [{ type: 'dns' as const, value: 'a.example' }];
  const standing = await limits.standingAgainst(identifiers, undefined, undefined, one);
  assert.equal(standing?.code, 'denied');
  assert.equal(
    standing?.message,
    'the public key is blocked since 2026-11-27T03:00:00Z; make a new key: it was on a USB stick',
  );
  assert.equal(await limits.standingAgainst(identifiers, undefined, undefined, other), undefined);
  assert.equal(await limits.standingAgainst(identifiers), undefined);
});

test('who watches has all blocked keys at hand, and hears of each change', async () => {
  const store = newStore();
  const keys = openBlockedKeys(store);
  await keys.block(one, why);
  using watched = watch(store);
  await waitUntil('the first key', () => watched.known.size === 1);
  await keys.block(other, why);
  await waitUntil('the second key', () => watched.known.has(other));
  await keys.unblock(one);
  await waitUntil('the first key to go', () => !watched.known.has(one));
  assert.deepEqual([...watched.known], [[other, why]]);
});

for (const damaged of ['nonsense', '{"reason":7}', '{"reason":"x","at":1e300}'])
  test(`a key is blocked still where Redis has ${damaged} for the reason, and hides no other, until it is unblocked`, async () => {
    const store = newStore();
    const keys = openBlockedKeys(store);
    await keys.block(one, why);
    await keys.block(other, why);
    const key = `${store.prefix}:blocked-key:${one}`;
    await redis.set(key, damaged);
    const { reason = '', at } = (await keys.list()).get(one) ?? {};
    assert.deepEqual([reason, at], [`the value of ${key} in Redis, which says why, is damaged`, undefined]);
    assert.equal(refuseKey({ reason }).message, `the public key is blocked; make a new key: ${reason}`);
    using watched = watch(store);
    await waitUntil('both keys', () => watched.known.size === 2);
    assert.equal(await keys.unblock(one), true);
    await waitUntil('the damaged one to go', () => !watched.known.has(one));
    assert.deepEqual([...watched.known], [[other, why]]);
  });
