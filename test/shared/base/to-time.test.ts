import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toTime } from '../../../shared/base/to-time.ts';

test('a time is told in whole seconds, as some ACME clients read no other', () => {
  assert.equal(toTime(1_700_000_000_999), '2023-11-14T22:13:20Z');
});
