import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepUnchanged } from '../../../shared/base/keep-unchanged.ts';

test('what is configured as before stays open, and what has changed or is new is opened', () => {
  const opened: string[] = [];
  const open = keepUnchanged(({ name, size }: { name: string; size: number }) => {
    opened.push(`${name} ${size}`);
    return size === 0 ? undefined : { size };
  });
  const one = open([
    { name: 'a', size: 1 },
    { name: 'b', size: 1 },
    { name: 'none', size: 0 },
  ]);
  const two = open([
    { name: 'b', size: 2 },
    { name: 'none', size: 0 },
    { name: 'c', size: 1 },
    { name: 'a', size: 1 },
  ]);
  assert.deepEqual([...two.keys()], ['b', 'c', 'a']);
  assert.equal(two.get('a'), one.get('a'));
  assert.notEqual(two.get('b'), one.get('b'));
  assert.deepEqual(opened, ['a 1', 'b 1', 'none 0', 'b 2', 'c 1']);
  open([{ name: 'b', size: 2 }]);
  open([{ name: 'a', size: 1 }]);
  assert.deepEqual(opened.slice(5), ['a 1'], 'what has left is opened anew when it comes back');
});
