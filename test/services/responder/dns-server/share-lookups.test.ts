import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { sharingLookups } from '../../../../services/responder/dns-server/share-lookups.ts';

test('sharingLookups() looks once for all who ask together, and again for whoever asks later', async () => {
  const looks: string[] = [];
  const look = sharingLookups(async name => `${name}${looks.push(name)}`);
  assert.deepEqual(await Promise.all(['a', 'b', 'a', 'a'].map(look)), ['a1', 'b2', 'a1', 'a1']);
  assert.equal(await look('a'), 'a3');
});

test('sharingLookups() begins no look-up before all who ask together have asked, and none is joined after that', async () => {
  let now = 'old';
  const slow = Promise.withResolvers<void>();
  const look = sharingLookups(async () => {
    const seen = now;
    await slow.promise;
    return seen;
  });
  const early = look('a');
  await nextTurn();
  now = 'new';
  const late = look('a');
  await nextTurn();
  slow.resolve();
  assert.deepEqual(await Promise.all([early, late]), ['old', 'new']);
});

test('sharingLookups() fails for all who ask together, and not for the next', async () => {
  let count = 0;
  const look = sharingLookups(async () => {
    if (count++ === 0) throw new Error('away');
    return 'back';
  });
  const ends = await Promise.allSettled([look('a'), look('a')]);
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.equal(await look('a'), 'back');
});
