import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRetryAfter } from '../../../shared/acme/retry-after.ts';

const now = Date.UTC(2026, 10, 22, 12);
const twoWeeks = 14 * 24 * 3_600_000;

test('parseRetryAfter() reads seconds', () => {
  assert.equal(parseRetryAfter('0', now), now);
  assert.equal(parseRetryAfter(' 120 ', now), now + 120_000);
});

test('parseRetryAfter() reads the three forms of an HTTP date', () => {
  const in90Seconds = now + 90_000;
  assert.equal(parseRetryAfter('Sun, 22 Nov 2026 12:01:30 GMT', now), in90Seconds);
  assert.equal(parseRetryAfter('Sunday, 22-Nov-26 12:01:30 GMT', now), in90Seconds);
  assert.equal(parseRetryAfter('Sun Nov 22 12:01:30 2026', now), in90Seconds);
});

test('parseRetryAfter() never answers a time that is past or more than two weeks away', () => {
  assert.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', now), now);
  assert.equal(parseRetryAfter('Sun, 06 Nov 2094 08:49:37 GMT', now), now + twoWeeks);
  assert.equal(parseRetryAfter('99999999', now), now + twoWeeks);
  assert.equal(parseRetryAfter('9'.repeat(400), now), now + twoWeeks);
});

for (const text of [
  undefined,
  '',
  '  ',
  'soon',
  'soon 5',
  '-5',
  '1.5',
  '+3',
  '0x10',
  '5 minutes',
  '120, 5',
  'NaN',
])
  test(`parseRetryAfter() takes ${JSON.stringify(text)} for none`, () => {
    assert.equal(parseRetryAfter(text, now), undefined);
  });
