import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Subject } from './benchmark.ts';
import { compareTrees, describe, toComparisons } from './compare.ts';

const pair = (figure: string, here: number, there: number) => ({
  here: { figure, value: here },
  there: { figure, value: there },
});

test('each ratio is of what was measured at the same time, and their spread is kept', () => {
  const pairs = [pair('ms', 8, 10), pair('MB', 3, 2), pair('ms', 30, 40), pair('ms', 9, 10)];
  assert.deepEqual(toComparisons(pairs), [
    { figure: 'ms', here: 9, there: 10, ratio: { median: 0.8, least: 0.75, most: 0.9 }, pairs: 3 },
    { figure: 'MB', here: 3, there: 2, ratio: { median: 1.5, least: 1.5, most: 1.5 }, pairs: 1 },
  ]);
});

test('a comparison reads as ratio, spread, and the two medians', () => {
  const [ms, mb] = toComparisons([pair('ms', 8, 10), pair('ms', 9, 10), pair('MB', 150.4, 100.4)]);
  assert.equal(ms && describe(ms), '0.85 (0.80 to 0.90 in 2 pairs): 8.50 beside 10.0 ms');
  assert.equal(mb && describe(mb), '1.50 (1.50 to 1.50 in 1 pair): 150 beside 100 MB');
});

test('both trees are measured in turn in each round, each with its own product', async () => {
  const asked: string[] = [];
  const subject: Subject = async function* ({ root }, tell) {
    for (const value of [1, 2]) {
      asked.push(root ?? '');
      tell(`${value} is measured`);
      yield { figure: 'ms', value: root === '/a' ? value : 2 * value };
    }
  };
  const told: string[] = [];
  const benchmark = { run: () => assert.fail('nothing is to be run'), subject, rounds: 2 };
  const trees = { here: { root: '/a' }, there: { root: '/b' } };
  const compared = await compareTrees(benchmark, trees, progress => told.push(progress));
  assert.deepEqual(asked, ['/a', '/b', '/b', '/a', '/a', '/b', '/b', '/a']);
  assert.deepEqual(compared, [
    { figure: 'ms', here: 1.5, there: 3, ratio: { median: 0.5, least: 0.5, most: 0.5 }, pairs: 4 },
  ]);
  assert.deepEqual(told.slice(0, 3), ['here: 1 is measured', 'there: 1 is measured', 'there: 2 is measured']);
});
