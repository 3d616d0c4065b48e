import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { sharingLookups } from '../../../../services/responder/dns-server/share-lookups.ts';

const once = <T>(ask: () => Promise<T>) => ask();

/** The look-ups as promises, which reject with the error that they were told. */
function promising<Found>(
  find: (names: string[]) => Promise<Found[]>,
  outlast: <T>(ask: () => Promise<T>) => Promise<T> = once,
): (name: string) => Promise<Found> {
  const lookUp = sharingLookups(find, outlast);
  return name =>
    new Promise((resolve, reject) => {
      lookUp(name, found => (found instanceof Error ? reject(found) : resolve(found)));
    });
}

test('sharingLookups() looks once for all names of those who ask together, and again for whoever asks later', async () => {
  const looks: string[][] = [];
  const look = promising(async names => {
    looks.push(names);
    return names.map(name => `${name}${looks.length}`);
  });
  assert.deepEqual(await Promise.all(['a', 'b', 'a', 'c', 'a'].map(look)), ['a1', 'b1', 'a1', 'c1', 'a1']);
  assert.equal(await look('a'), 'a2');
  assert.deepEqual(looks, [['a', 'b', 'c'], ['a']]);
});

test('sharingLookups() begins no look-up before all who ask together have asked, and none is joined after that', async () => {
  let now = 'old';
  const slow = Promise.withResolvers<void>();
  const look = promising(async names => {
    const seen = now;
    await slow.promise;
    return names.map(() => seen);
  });
  const early = look('a');
  await nextTurn();
  now = 'new';
  const late = look('a');
  await nextTurn();
  slow.resolve();
  assert.deepEqual(await Promise.all([early, late]), ['old', 'new']);
});

test('sharingLookups() fails for all who ask together for a name, and not for the next', async () => {
  let away = true;
  const look = promising(async names => {
    if (away) throw new Error('away');
    return names.map(() => 'back');
  });
  const ends = await Promise.allSettled([look('a'), look('a')]);
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  away = false;
  assert.equal(await look('a'), 'back');
});

test('sharingLookups() looks for each name alone where all together fail, and outlasts what keeps one', async () => {
  let failures = 0;
  const outlast = async <T>(ask: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (++failures > 3) throw error;
      }
    }
  };
  const look = promising(async names => {
    if (names.includes('damaged')) throw new Error('WRONGTYPE');
    return names.map(name => `${name} is there`);
  }, outlast);
  const ends = await Promise.allSettled(['a', 'damaged', 'b'].map(look));
  assert.deepEqual(
    ends.map(end => (end.status === 'fulfilled' ? end.value : end.reason.message)),
    ['a is there', 'WRONGTYPE', 'b is there'],
  );
  assert.equal(failures, 4);
});
