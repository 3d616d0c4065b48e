import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { findUnreachable } from '../../../shared/admission/unreachable-blocks.ts';

function block(name: string, options: Partial<AuthBlockConfig>): AuthBlockConfig {
  const nothing = { ips: [], all: false, domains: [], addresses: [], verifications: [], challenges: [] };
  return { name, ...nothing, storage: 'none', accounts: [{ account: 'default' }], ...options };
}

const names = (blocks: AuthBlockConfig[]) =>
  findUnreachable(blocks).map(({ block, behind }) => [block.name, behind.name]);
const hmac = (...keys: string[]) => ({ type: 'sha256', keys });

test('findUnreachable() finds a block behind one that admits more clients and names', () => {
  const wide = block('wide', { ips: ['192.0.2.0/24'], domains: ['*'] });
  const narrow = block('narrow', { ips: ['192.0.2.9'], hmac: hmac('k'), domains: ['a.example'] });
  assert.deepEqual(names([wide, narrow]), [['narrow', 'wide']]);
  assert.deepEqual(names([narrow, wide]), []);
});

test('findUnreachable() leaves a block that accepts one client, key, name or address more', () => {
  const first = block('first', {
    ips: ['192.0.2.0/24'],
    hmac: hmac('k'),
    domains: ['a.example'],
    addresses: ['10.0.0.0/8'],
  });
  assert.deepEqual(names([first, { ...first, name: 'same', domains: ['A.example'] }]), [['same', 'first']]);
  assert.deepEqual(names([first, { ...first, ips: [...first.ips, '198.51.100.1'] }]), []);
  assert.deepEqual(names([first, { ...first, ips: [] }]), []);
  assert.deepEqual(names([first, { ...first, hmac: hmac('k', 'l') }]), []);
  assert.deepEqual(names([first, { ...first, hmac: { type: 'sha512', keys: ['k'] } }]), []);
  const demanding = { ...first, name: 'demanding', hmac: { ...hmac('k'), version: 2 as const } };
  assert.deepEqual(names([demanding, first]), []);
  assert.deepEqual(names([first, demanding]), [['demanding', 'first']]);
  assert.deepEqual(names([first, block('other', { ips: first.ips, domains: ['a.example'] })]), []);
  assert.deepEqual(names([first, { ...first, domains: ['a.example', 'b.example'] }]), []);
  assert.deepEqual(names([first, { ...first, addresses: ['11.0.0.0/8'] }]), []);
});
