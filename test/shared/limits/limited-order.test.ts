import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keysOf, registeredDomain, setKey } from '../../../shared/limits/limited-order.ts';
import type { Identifier } from '../../../shared/pki/identifier.ts';

const dns = (value: string): Identifier => ({ type: 'dns', value });

test('registeredDomain() goes by the Public Suffix List, its private part included', () => {
  const cases: [string, string][] = [
    ['a.b.example.org', 'example.org'],
    ['*.example.co.uk', 'example.co.uk'],
    ['me.github.io', 'me.github.io'],
    ['a.me.github.io', 'me.github.io'],
    ['intranet', 'intranet'],
  ];
  for (const [name, domain] of cases) assert.equal(registeredDomain(dns(name)), domain);
  assert.equal(registeredDomain({ type: 'ip', value: '192.0.2.1' }), '192.0.2.1');
});

test('setKey() is the same for the same names in another order, and for no others', () => {
  assert.equal(setKey([dns('a.org'), dns('b.org')]), setKey([dns('b.org'), dns('a.org')]));
  assert.notEqual(setKey([dns('a.org'), dns('b.org')]), setKey([dns('a.org')]));
  assert.notEqual(setKey([dns('192.0.2.1')]), setKey([{ type: 'ip', value: '192.0.2.1' }]));
});

test('keysOf() names each registered domain once', () => {
  const keys = keysOf({ account: 'default', identifiers: [dns('a.example.org'), dns('b.example.org')] });
  assert.deepEqual(
    keys.filter(key => !key.startsWith('set/')),
    ['account/default', 'domain/example.org', 'name/a.example.org', 'name/b.example.org'],
  );
});
