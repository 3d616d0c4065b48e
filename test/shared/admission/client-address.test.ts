import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardedAddress } from '../../../shared/admission/client-address.ts';
import { toAddressSet } from '../../../shared/base/identifier.ts';

const walk = (forwardedFor: string, peer = '10.0.0.1') =>
  forwardedAddress(peer, forwardedFor, toAddressSet(['10.0.0.0/8']));

const walks: [what: string, forwardedFor: string, client: string, peer?: string][] = [
  ['does not believe a stranger', '192.0.2.1', '203.0.113.9', '203.0.113.9'],
  ['believes a trusted proxy', '192.0.2.1', '192.0.2.1'],
  ['reads from the right', '198.51.100.1, 192.0.2.1', '192.0.2.1'],
  ['walks past trusted proxies', '198.51.100.1,192.0.2.1 , 10.0.0.3,10.0.0.2', '192.0.2.1'],
  ['takes the leftmost when all are trusted', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
  ['takes a mapped address as IPv4', '::ffff:192.0.2.1', '192.0.2.1'],
  ['gives IPv6 in its canonical form', '2001:DB8:0:0::1', '2001:db8::1'],
  ['takes an IPv4 address with a port', '192.0.2.1:51234', '192.0.2.1'],
  ['takes an IPv6 address in brackets', '[2001:db8::1]', '2001:db8::1'],
  ['takes an IPv6 address in brackets with a port', '[2001:DB8::1]:443', '2001:db8::1'],
  ['takes a mapped address with a port', '[::ffff:192.0.2.1]:443', '192.0.2.1'],
  ['reads a bare IPv6 address as one without a port', '2001:db8::1:443', '2001:db8::1:443'],
  ['drops zones', '[fe80::1%eth0]:443', 'fe80::1'],
  ['walks past a trusted proxy with a port', '192.0.2.1:1, 10.0.0.2:65535', '192.0.2.1'],
  ['never looks at what stands left of the client', 'unknown, , 10.0.0.9, 192.0.2.1', '192.0.2.1'],
];

for (const [what, forwardedFor, client, peer] of walks)
  test(`forwardedAddress() ${what}`, () => assert.equal(walk(forwardedFor, peer), client));

const nobody = [
  ...['unknown', '_hidden', '_hidden:443', 'unix:', 'client.example', '192.0.2.1/32', '192.0.2'],
  ...['192.0.2.1:', '192.0.2.1:port', '192.0.2.1:65536', '192.0.2.1:443:443', '192.0.2.01', '[192.0.2.1]'],
  ...['[2001:db8::1', '2001:db8::1]', '[]', '[]:443', '[2001:db8::1]443', '[2001:db8::1]:', '"192.0.2.1"'],
  ...[' ', ',', '192.0.2.1,', '192.0.2.1, ,10.0.0.2', '192.0.2.1, unknown, 10.0.0.2'],
];

for (const forwardedFor of nobody)
  test(`forwardedAddress() knows no client in '${forwardedFor}', not even the proxy`, () => {
    assert.throws(() => walk(forwardedFor), {
      code: 'denied',
      message: /^X-Forwarded-For has .*: the client is not known$/,
    });
  });

test('a refusal quotes an entry as one line, and not all of a long one', () => {
  const message = 'X-Forwarded-For has "a\\tb\\"c", which is no address: the client is not known';
  assert.throws(() => walk('a\tb"c'), { message });
  for (const [hop, quoted] of [
    ['x'.repeat(60), 'x'.repeat(60)],
    [`y${'x'.repeat(5_000)}`, `y${'x'.repeat(59)}…`],
  ] as const)
    assert.throws(() => walk(hop), {
      message: `X-Forwarded-For has "${quoted}", which is no address: the client is not known`,
    });
});
