import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../support/read-sources.ts';

// shared/order/answers.md says what a CA may answer and what Quarry does; each row names what shows it.

type Row = { line: string; cells: string[] };
type Named = { file: string; name: string };

const page = readFileSync(join(root, 'shared/order/answers.md'), 'utf8');
const heads = ['the CA', 'Quarry', 'shown by'];

/** The rows of all tables of the page, without their heads. */
const rows: Row[] = page
  .split('\n')
  .filter(line => line.startsWith('|') && !/^\|[- |]+\|$/.test(line))
  .map(line => ({
    line,
    cells: line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  }))
  .filter(({ cells }) => cells.join() !== heads.join());

/** `file`: a name; `file`: another name */
const namedBy = (cell: string): Named[] =>
  cell.split(/; (?=`)/).map(part => {
    const [, file = '', name = ''] = /^`(test\/[^`]+\.test\.ts)`: (.+)$/.exec(part) ?? [];
    return { file, name };
  });

/** Whether a file has a test of exactly this name, which it writes as one literal. */
function hasTest({ file, name }: Named): boolean {
  if (name === '' || !existsSync(join(root, file))) return false;
  const text = readFileSync(join(root, file), 'utf8');
  const literals = text.matchAll(/\btest\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g);
  return [...literals].some(([, single, double, template]) =>
    template === undefined
      ? (single ?? double ?? '').replace(/\\(.)/g, '$1') === name
      : toPattern(template).test(name),
  );
}

const escaped = (text: string) => text.replace(/[^\w ]/g, '\\$&');

/** What a test that is made for each row of a table is called: anything may stand for its `${}`. */
const toPattern = (template: string) =>
  new RegExp(
    `^${template
      .split(/\$\{[^}]*\}/)
      .map(escaped)
      .join('.+')}$`,
  );

test('the page of what a CA may answer has three cells in each row, none of them empty', () => {
  assert.ok(rows.length >= 5, `${rows.length} rows`);
  assert.deepEqual(
    rows.filter(({ cells }) => cells.length !== heads.length || cells.includes('')),
    [],
  );
});

test('each row of what a CA may answer names tests that there are, by their very names', () => {
  const missing = rows.flatMap(({ cells }) => namedBy(cells.at(-1) ?? '').filter(named => !hasTest(named)));
  assert.deepEqual(missing, []);
});

test('no two rows of what a CA may answer are of the same answer', () => {
  const answers = rows.map(({ cells }) => cells[0]);
  assert.deepEqual([...new Set(answers)], answers);
});

test('a test that is not there is told from one that is, and a name from its beginning', () => {
  const file = 'test/shared/order/answers.test.ts';
  const name = 'no two rows of what a CA may answer are of the same answer';
  const found = [name, name.slice(0, -1), '', 'another'].map(one => hasTest({ file, name: one }));
  assert.deepEqual(found, [true, false, false, false]);
  assert.equal(hasTest({ file: 'test/none.test.ts', name }), false);
  const table = 'test/shared/acme/lag.test.ts';
  const told = ['getOrder', 'finalize', ''].map(
    call => `${call}() asks again at the same URL, over some seconds, where a replica of the CA lags`,
  );
  assert.deepEqual(
    told.map(each => hasTest({ file: table, name: each })),
    [true, true, false],
  );
});
