import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Result } from './benchmark.ts';
import { benchmarks } from './benchmarks.ts';
import { findExceeded, readBudget } from './budget.ts';

const held = { orders: { 'ms CPU': 8, commands: 20 }, roles: { MB: 100 } };

test('a figure may be worse than its budget by a quarter, and no more', () => {
  const measured = (ms: number): Pick<Result, 'name' | 'held'>[] => [
    { name: 'orders', held: { 'ms CPU': ms, commands: 25 } },
    { name: 'roles', held: { MB: 60 } },
  ];
  assert.deepEqual(findExceeded(held, ['orders', 'roles'], measured(10)), []);
  assert.deepEqual(findExceeded(held, ['orders', 'roles'], measured(10.4)), [
    'orders: ms CPU: 10.4, 30 % over 8.00',
  ]);
});

test('what the budget holds and was not measured is a line too', () => {
  const results = [{ name: 'orders', held: { 'ms CPU': Number.NaN } }];
  assert.deepEqual(findExceeded(held, ['orders', 'roles'], results), [
    'orders: ms CPU: not measured',
    'orders: commands: not measured',
    'roles: MB: not measured',
  ]);
  assert.deepEqual(findExceeded(held, ['roles'], [{ name: 'roles', held: { MB: 1 } }]), []);
});

test('the budget that is kept names benchmarks that there are, a date and a machine', async () => {
  const budget = await readBudget();
  assert.deepEqual(
    Object.keys(budget.held).filter(name => !(name in benchmarks)),
    [],
  );
  assert.ok(
    Object.values(budget.held)
      .flatMap(figures => Object.values(figures))
      .every(value => value > 0),
  );
  assert.match(budget.date, /^\d{4}-\d\d-\d\d$/);
  assert.match(budget.machine, /\d+ cores/);
});
