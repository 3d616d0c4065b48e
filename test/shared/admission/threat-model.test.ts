import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTest, namedBy, readRows } from '../../support/named-tests.ts';

// shared/admission/threat-model.md says what is defended; each row of an attack names what shows it.

const heads = ['who tries what', 'what stops it', 'shown by'];
const attacks = readRows('shared/admission/threat-model.md', heads).filter(({ line }) =>
  line.includes('`test/'),
);

test('each attack of the threat model says what stops it, and names tests that there are', () => {
  assert.ok(attacks.length >= 20, `${attacks.length} attacks`);
  const odd = attacks.filter(({ cells }) => cells.length !== heads.length || cells.includes(''));
  assert.deepEqual(odd, []);
  const missing = attacks.flatMap(({ cells }) => namedBy(cells.at(-1) ?? '').filter(one => !hasTest(one)));
  assert.deepEqual(missing, []);
});

test('no two rows of the threat model are of the same attack', () => {
  const tried = attacks.map(({ cells }) => cells[0]);
  assert.deepEqual([...new Set(tried)], tried);
});
