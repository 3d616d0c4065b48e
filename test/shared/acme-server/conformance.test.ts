import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTest, namedBy, readRows } from '../../support/named-tests.ts';

// test/integration/acme-server/conformance.md says what RFC 8555 demands; each row names what shows it.

const heads = ['section', 'an ACME server', 'shown by'];
const all = readRows('test/integration/acme-server/conformance.md', heads);
const rows = all.filter(({ line }) => line.includes('`test/'));

test('each demand of RFC 8555 has its section, our words and tests that there are', () => {
  assert.ok(rows.length >= 50, `${rows.length} rows`);
  const odd = rows.filter(({ cells }) => cells.length !== heads.length || cells.includes(''));
  assert.deepEqual(odd, []);
  const missing = rows.flatMap(({ cells }) => namedBy(cells.at(-1) ?? '').filter(one => !hasTest(one)));
  assert.deepEqual(missing, []);
});

test('no two rows of what RFC 8555 demands are of the same demand', () => {
  const demands = rows.map(({ cells }) => cells.slice(0, 2).join(' '));
  assert.deepEqual([...new Set(demands)], demands);
});
