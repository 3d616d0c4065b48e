import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTurn, openTurns } from '../../../services/worker/proof-turns.ts';

test('a block has so many jobs in hand, and each that ends makes room; other blocks and jobs of none have theirs', () => {
  const turns = openTurns();
  const taken = Array.from({ length: 32 }, () => turns.take('web'));
  assert.ok(taken.every(one => one !== undefined));
  assert.equal(turns.take('web'), undefined);
  assert.ok(turns.take('mail'));
  assert.ok(turns.take(undefined));
  taken[0]?.[Symbol.dispose]();
  assert.ok(turns.take('web'));
  assert.equal(turns.take('web'), undefined);
});

test('a job that is one too many comes again soon, and the more rarely the longer it has come in vain', () => {
  const between = (age: number) => [nextTurn(age, 0), nextTurn(age, 1)];
  assert.deepEqual(between(0), [500, 1_500]);
  assert.deepEqual(between(8_000), [500, 1_500]);
  assert.deepEqual(between(160_000), [10_000, 30_000]);
  assert.deepEqual(between(86_400_000), [30_000, 90_000]);
  assert.deepEqual(between(-60_000), [500, 1_500], 'made by a machine whose clock is ahead');
});

test('many jobs of one block that wait for hours cost Redis little by their coming', () => {
  let times = 0;
  for (let age = 0; age < 3 * 3_600_000; times++) age += nextTurn(age, 0);
  assert.ok(times < 450, `${times} times in three hours`);
});
