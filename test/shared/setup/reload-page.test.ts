import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { optionsOf, type Placing } from '../../../shared/setup/options.ts';

test('the page on reloads names each option that needs a restart, in the row of its section', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../shared/setup/reload.md'), 'utf8');
  const rows = new Map(
    [...page.matchAll(/^\| `\[(\w+)[^|]*\| (.*) \|$/gm)].map(([, section = '', options = '']) => [
      section,
      options === 'all' ? undefined : [...options.matchAll(/`([\w-]+)`/g)].map(([, option]) => option),
    ]),
  );
  const named = Object.entries(optionsOf).flatMap(([section, placings]) =>
    Object.values(placings as Record<string, Placing>).flatMap(placing => {
      if (placing === 'derived' || placing.change !== 'needsRestart') return [];
      const options = typeof placing.from === 'string' ? [placing.from] : Object.values(placing.from);
      return options.filter(option => option !== '').map(option => ({ section, option }));
    }),
  );
  assert.ok(named.length > 10);
  const missing = named.filter(({ section, option }) => {
    const row = rows.get(section);
    return !rows.has(section) || (row !== undefined && !row.includes(option));
  });
  assert.deepEqual(missing, []);
});
