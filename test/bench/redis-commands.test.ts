import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutIdle } from './redis-commands.ts';

test('what is sent in the same time when there is nothing to do is taken off', () => {
  assert.equal(withoutIdle({ commands: 100, seconds: 4 }, { commands: 6, seconds: 3 }), 92);
  assert.equal(withoutIdle({ commands: 100, seconds: 4 }, { commands: 0, seconds: 3 }), 100);
});
