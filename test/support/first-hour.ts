import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { readPage } from './docs.ts';

// The page on troubleshooting lists what one meets in the first hour, each with the line that is read then,
// in two cells: what is wrong, and what to do. A test provokes each of them, and the line has to be that one.

type Moment = { wrong: string; remedy: string };

/** The rows of the table below a heading of the page, by their moments. */
function readMoments(heading: string): Map<string, Moment> {
  const [, section = ''] = readPage('troubleshooting.md').split(`\n### ${heading}\n`);
  const [table = ''] = /^(\|.*\n)+/m.exec(section) ?? [];
  const rows = table.trim().split('\n').slice(2);
  return new Map(
    rows.map(row => {
      const [, moment = '', wrong = '', remedy = ''] = row.split('|').map(cell => cell.trim());
      return [moment, { wrong: unquote(wrong), remedy: unquote(remedy) }];
    }),
  );
}

const unquote = (cell: string) => cell.replace(/^(`+)(.*)\1$/, '$2');

const quoteRegExp = (text: string) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** `…` stands for what differs from one to another. */
const toPattern = (text: string) => text.split('…').map(quoteRegExp).join('.+');

/** @param provoke by the moments: each answers with the line that a user reads */
export function showMoments(
  heading: string,
  provoke: Record<string, (t: TestContext) => string | Promise<string>>,
): void {
  const moments = readMoments(heading);
  test(`the page's moments "${heading}" are those that are provoked`, () => {
    assert.deepEqual(Object.keys(provoke).sort(), [...moments.keys()].sort());
  });
  for (const [moment, act] of Object.entries(provoke))
    test(`in the first hour, "${moment}" says what is wrong and what to do`, async t => {
      const line = (await act(t)).trimEnd();
      const { wrong, remedy } = moments.get(moment) ?? { wrong: '', remedy: '' };
      assert.ok(wrong !== '' && remedy !== '', `the page has no row of this, which says: ${line}`);
      assert.match(line, new RegExp(`^${toPattern(wrong)}[,:;] ${toPattern(remedy)}$`));
    });
}
