import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../support/read-sources.ts';

const script = readFileSync(join(root, 'services/get/quarry-get'), 'utf8');
const page = readFileSync(join(root, 'services/docs/hosts.md'), 'utf8');

/** The first column of the page's table that begins with this heading. */
function column(heading: string): string[] {
  const [, rows = ''] =
    new RegExp(`^\\| ${heading} \\|.*\\n\\| ---.*\\n((?:\\|.*\\n)+)`, 'm').exec(page) ?? [];
  return [...rows.matchAll(/^\| `?([\w-]+)`? \|/gm)].map(([, first = '']) => first);
}

test('the page for hosts has each exit code that quarry-get has', () => {
  const [, told = ''] = /^# Ends with ([\s\S]*?)\n\n/m.exec(script) ?? [];
  const codes = [...told.matchAll(/\b(\d):/g)].map(([, code = '']) => code);
  const used = [...script.matchAll(/\bfail (\d) /g)].map(([, code = '']) => code);
  assert.deepEqual(column('it ends with'), codes);
  assert.deepEqual([...new Set(['0', ...used])].sort(), codes);
});
