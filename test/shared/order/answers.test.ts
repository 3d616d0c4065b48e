import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTest, namedBy, readRows } from '../../support/named-tests.ts';

// shared/order/answers.md says what a CA may answer and what Quarry does; each row names what shows it.

const heads = ['the CA', 'Quarry', 'shown by'];
const rows = readRows('shared/order/answers.md', heads);

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
