import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pollTime } from '../../../shared/order/poll-time.ts';

test('pollTime() begins as told, then doubles from a quarter of a second up to ten seconds', () => {
  assert.equal(pollTime(0, undefined, 7, 40), 47);
  const waits = [0, 1, 2, 3, 4, 5, 6, 7, 1000, 5000].map(polls => pollTime(polls, undefined, 7) - 7);
  assert.deepEqual(waits, [250, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
});

test('pollTime() comes back when the CA said, however often it was asked before', () => {
  assert.equal(pollTime(0, 3_007, 7), 3_007);
  assert.equal(pollTime(9, 3_007, 7), 3_007);
});

test('pollTime() does not hammer a CA that says now, or whose clock is behind', () => {
  assert.equal(pollTime(0, 7, 7), 257);
});
