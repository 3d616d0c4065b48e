import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTime } from '../../../services/cli/command.ts';

test('parseTime() reads dates and times of RFC 3339', () => {
  assert.equal(parseTime('2026-11-20'), Date.UTC(2026, 10, 20));
  assert.equal(parseTime('2026-11-20T14:30:00Z'), Date.UTC(2026, 10, 20, 14, 30));
  assert.equal(parseTime('2026-11-20t14:30:00.5+02:00'), Date.UTC(2026, 10, 20, 12, 30, 0, 500));
  assert.equal(parseTime(undefined), undefined);
  for (const text of ['', 'yesterday', '2026-11', '20.11.2026', '2026-11-20T14:30', '2026-13-01'])
    assert.throws(() => parseTime(text), { name: 'UsageError' }, text);
});
