import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseNames, parseRequest } from './arguments.ts';

test('without options the named benchmarks are run, and --json says how they are printed', () => {
  assert.deepEqual(parseRequest([]), { do: 'run', json: false, names: [] });
  assert.deepEqual(parseRequest(['--json', 'a', 'b']), { do: 'run', json: true, names: ['a', 'b'] });
});

test('a revision, a budget and a profile each ask for something else', () => {
  assert.deepEqual(parseRequest(['--against', 'HEAD~1', 'a']), {
    do: 'compare',
    against: 'HEAD~1',
    names: ['a'],
  });
  assert.deepEqual(parseRequest(['--check']), { do: 'check', names: [] });
  assert.deepEqual(parseRequest(['a', '--save-budget']), { do: 'save', names: ['a'] });
  assert.deepEqual(parseRequest(['--profile', 'a']), { do: 'profile', against: undefined, names: ['a'] });
  assert.deepEqual(parseRequest(['--profile', 'a', '--against=v1']), {
    do: 'profile',
    against: 'v1',
    names: ['a'],
  });
});

test('what does not belong together is refused, and so is what nobody knows', () => {
  assert.throws(() => parseRequest(['--check', '--save-budget']), /--check and --save-budget do not go/);
  assert.throws(() => parseRequest(['--json', '--profile']), /--json and --profile do not go together/);
  assert.throws(() => parseRequest(['--against', 'v1', '--check']), /--against and --check do not go/);
  assert.throws(() => parseRequest(['--against']), /argument missing/);
  assert.throws(() => parseRequest(['--faster']), /Unknown option/);
});

test('a word means the benchmark of that name alone, else all that begin with it, in their own order', () => {
  const known = ['orders-1', 'orders-16', 'responder'];
  assert.deepEqual(chooseNames([], known), known);
  assert.deepEqual(chooseNames([], known, ['responder']), ['responder']);
  assert.deepEqual(chooseNames(['orders-1'], known, ['responder']), ['orders-1']);
  assert.deepEqual(chooseNames(['responder', 'orders-1'], known), ['orders-1', 'responder']);
  assert.deepEqual(chooseNames(['orders'], known), ['orders-1', 'orders-16']);
  assert.throws(
    () => chooseNames(['orders', 'order-1'], known),
    /no order-1 here; known: orders-1, orders-16/,
  );
});
