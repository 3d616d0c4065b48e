import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atMost } from '../../../shared/base/at-most.ts';

test('atMost() lets only so many run, the others in turn, also when one fails', async () => {
  const inTurn = atMost(2);
  const doors = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const begun: number[] = [];
  const acts = doors.map(({ promise }, index) =>
    inTurn(async () => {
      begun.push(index);
      await promise;
      return index;
    }),
  );
  assert.deepEqual(begun, [0, 1]);
  doors[1]?.reject(new Error('failed'));
  await assert.rejects(acts[1] as Promise<number>, { message: 'failed' });
  assert.deepEqual(begun, [0, 1, 2]);
  for (const { resolve } of doors) resolve();
  assert.deepEqual(await Promise.all([acts[0], acts[2], acts[3]]), [0, 2, 3]);
  assert.equal(await inTurn(async () => 'free again'), 'free again');
});
