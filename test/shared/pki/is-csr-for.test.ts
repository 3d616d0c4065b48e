import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { isCsrFor, readCsr } from '../../../shared/pki/csr.ts';
import { makeCsr } from './openssl-csr.ts';

const dns = (...values: string[]): Identifier[] => values.map(value => ({ type: 'dns', value }));

test('isCsrFor() holds for the names of a CSR in any order, and for no other ones', () => {
  const { der } = readCsr(Buffer.from(makeCsr({ names: 'DNS:a.example,DNS:b.example,IP:192.0.2.1' })));
  const address: Identifier = { type: 'ip', value: '192.0.2.1' };
  assert.equal(isCsrFor(der, [...dns('a.example', 'b.example'), address]), true);
  assert.equal(isCsrFor(der, [address, ...dns('b.example', 'a.example')]), true);
  for (const others of [
    dns('a.example', 'b.example'),
    [...dns('a.example', 'b.example', 'c.example'), address],
    [...dns('a.example', 'c.example'), address],
    dns('a.example', 'b.example', '192.0.2.1'),
    dns('a.example', 'a.example', 'b.example'),
    [],
  ])
    assert.equal(isCsrFor(der, others), false, JSON.stringify(others));
});

test('isCsrFor() refuses what is no CSR', () => {
  assert.throws(() => isCsrFor(Buffer.from('nothing'), []), { code: 'badCsr' });
});
