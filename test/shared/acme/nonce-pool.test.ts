import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NoncePool } from '../../../shared/acme/nonce-pool.ts';

test('NoncePool hands out each nonce once, the last one first', () => {
  const pool = new NoncePool();
  for (const nonce of ['a', 'b', 'c']) pool.put(nonce, 0);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => pool.take(0)),
    ['c', 'b', 'a', undefined],
  );
});

test('NoncePool forgets what is older than a minute', () => {
  const pool = new NoncePool();
  pool.put('old', 0);
  pool.put('fresh', 30_000);
  assert.equal(pool.take(60_001), 'fresh');
  assert.equal(pool.take(60_001), undefined);
  pool.put('new', 70_000);
  assert.equal(pool.take(130_000), 'new');
  assert.equal(pool.take(130_000), undefined);
});

test('NoncePool keeps the freshest when it is full', () => {
  const pool = new NoncePool();
  for (let n = 0; n < 100; n++) pool.put(`n${n}`, 0);
  const taken: string[] = [];
  for (let nonce = pool.take(0); nonce; nonce = pool.take(0)) taken.push(nonce);
  assert.equal(taken.length, 32);
  assert.deepEqual([taken[0], taken.at(-1)], ['n99', 'n68']);
});
