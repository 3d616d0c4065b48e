import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTime, readOptions } from '../../../services/cli/command.ts';

test('parseTime() reads dates and times of RFC 3339', () => {
  assert.equal(parseTime('2026-11-20'), Date.UTC(2026, 10, 20));
  assert.equal(parseTime('2026-11-20T14:30:00Z'), Date.UTC(2026, 10, 20, 14, 30));
  assert.equal(parseTime('2026-11-20t14:30:00.5+02:00'), Date.UTC(2026, 10, 20, 12, 30, 0, 500));
  assert.equal(parseTime(undefined), undefined);
  for (const text of ['', 'yesterday', '2026-11', '20.11.2026', '2026-11-20T14:30', '2026-13-01'])
    assert.throws(() => parseTime(text), { name: 'UsageError' }, text);
});

test('readOptions() says in plain words what is wrong with options', () => {
  const options = { email: { type: 'string' }, yes: { type: 'boolean' } } as const;
  for (const [words, said] of [
    [['--emial=x'], 'there is no option --emial here, did you mean --email? known: --email, --yes'],
    [['-x'], 'there is no option -x here; known: --email, --yes'],
    [['--email'], '--email needs a value'],
    [['--email', '--yes'], '--email needs a value, and one that begins with - is written --email=-…'],
    [['--yes=no'], '--yes takes no value'],
  ] as const)
    assert.throws(() => readOptions([...words], options), { name: 'UsageError', message: said });
});
