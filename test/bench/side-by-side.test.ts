import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureSideBySide, takeSideBySide } from './side-by-side.ts';

/** Notes in `seen` what it is asked for, and its end. */
async function* side(name: string, count: number, seen: string[]) {
  try {
    for (let index = 0; index < count; index++) {
      seen.push(`${name}${index}`);
      yield index;
    }
  } finally {
    seen.push(`${name} ends`);
  }
}

test('sides are measured in turn, and in the opposite order in every second round', async () => {
  const seen: string[] = [];
  const measure = (name: string) => async (round: number) => seen.push(`${name}${round}`);
  const rounds = await measureSideBySide(3, { a: measure('a'), b: measure('b') });
  assert.deepEqual(seen, ['a0', 'b0', 'b1', 'a1', 'a2', 'b2']);
  assert.deepEqual(rounds.map(Object.entries), [
    [
      ['a', 1],
      ['b', 2],
    ],
    [
      ['b', 3],
      ['a', 4],
    ],
    [
      ['a', 5],
      ['b', 6],
    ],
  ]);
});

test('what sides give is taken in turn likewise, and all of them are closed when one has no more', async () => {
  const seen: string[] = [];
  const taken = await takeSideBySide({ a: side('a', 2, seen), b: side('b', 5, seen) });
  assert.deepEqual(taken, [
    { a: 0, b: 0 },
    { a: 1, b: 1 },
  ]);
  assert.deepEqual(seen, ['a0', 'b0', 'b1', 'a1', 'a ends', 'b2', 'b ends']);
});

test('where one side fails, the others are closed', async () => {
  const seen: string[] = [];
  async function* failing() {
    yield 0;
    throw new Error('it hung');
  }
  await assert.rejects(takeSideBySide({ a: side('a', 5, seen), b: failing() }), /it hung/);
  assert.equal(seen.at(-1), 'a ends');
});
