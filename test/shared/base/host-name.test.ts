import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDomainName, isHostName, isInside, toName } from '../../../shared/base/identifier.ts';

const label = 'a'.repeat(63);
const longest = [label, label, label, 'a'.repeat(61)].join('.');

test('toName() writes lower case, and no dot at the end', () => {
  assert.deepEqual(['Example.ORG.', 'example.org', '.'].map(toName), ['example.org', 'example.org', '']);
});

test('isDomainName() takes names as toName() writes them', () => {
  for (const name of ['org', '_acme-challenge.example.org', '1.2', '-', longest])
    assert.equal(isDomainName(name), true, name);
  for (const name of ['', '.', 'a..b', 'a.', '.a', 'A', '*.a', 'a b', 'ä', `a${longest}`, `a${label}`])
    assert.equal(isDomainName(name), false, name);
});

test('isHostName() takes names that machines may have, and nothing that looks like an address', () => {
  for (const name of ['localhost', 'NS1.example.org.', '_a.b-c', '1and1.com', '1.a'])
    assert.equal(isHostName(name), true, name);
  for (const name of ['', '.', '1313', '300.1.1.1', 'a.1', 'a.1.', '-a.org', 'a.-b', '*', 'a:1', '[a]'])
    assert.equal(isHostName(name), false, name);
});

test('isInside() knows the zone itself, what is below it, and that all is in the root', () => {
  for (const [name, zone] of [
    ['example.org', 'example.org'],
    ['a.b.example.org', 'example.org'],
    ['example.org', ''],
    ['', ''],
  ] as const)
    assert.equal(isInside(name, zone), true, `${name} in ${zone}`);
  for (const [name, zone] of [
    ['notexample.org', 'example.org'],
    ['org', 'example.org'],
    ['', 'org'],
  ] as const)
    assert.equal(isInside(name, zone), false, `${name} in ${zone}`);
});
