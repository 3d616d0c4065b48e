import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHost } from '../../../shared/base/host.ts';

test('toHost() takes all addresses of a /64 for one host, with a zone or without', () => {
  assert.equal(toHost('2001:db8::1'), toHost('2001:db8::ffff:2'));
  assert.equal(toHost('fe80::1%eth0'), toHost('fe80::2'));
  assert.notEqual(toHost('2001:db8::1'), toHost('2001:db8:0:1::1'));
});

test('toHost() takes each IPv4 address for a host', () => {
  assert.equal(toHost('192.0.2.1'), '192.0.2.1');
});
