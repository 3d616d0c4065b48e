import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mean, median, percentile } from './statistics.ts';

test('a median is the value in the middle, or the mean of the two there', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([9, 1, 5, 6]), 5.5);
  assert.equal(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
});

test('a percentile is the value below which that share lies', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual([percentile(values, 0), percentile(values, 0.5), percentile(values, 0.99)], [1, 51, 100]);
  assert.equal(percentile(values, 1), 100);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test('a mean is the sum by the number', () => {
  assert.equal(mean([1, 2, 6]), 3);
});
