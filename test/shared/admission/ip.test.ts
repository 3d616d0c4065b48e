import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import { clientIpMethod } from '../../../shared/admission/methods.ts';
import { toAddressSet } from '../../../shared/base/identifier.ts';
import { toRequest } from './admission-request.ts';

const table: [cidrs: string[], inside: string[], outside: string[]][] = [
  [
    ['192.0.2.0/24', '198.51.100.21'],
    ['192.0.2.0', '192.0.2.255', '198.51.100.21'],
    ['192.0.3.0', '198.51.100.22'],
  ],
  [
    ['192.0.2.0/24'],
    ['::ffff:192.0.2.7', '::ffff:c000:207'],
    ['::192.0.2.7', '::c000:207', '::ffff:192.0.3.7'],
  ],
  [['2001:db8::/33'], ['2001:db8::1', '2001:DB8:0::1'], ['2001:db8:8000::1', '192.0.2.1']],
  [['fe80::/10'], ['fe80::1', 'fe80::1%eth0'], ['fec0::1']],
  [['::/0'], ['::1', '2001:db8::1'], ['192.0.2.1', '::ffff:192.0.2.1']],
  [['0.0.0.0/0'], ['192.0.2.1', '::ffff:192.0.2.1'], ['::1', '2001:db8::1']],
  [[], [], ['192.0.2.1', '::1']],
  [['0.0.0.0/0', '::/0'], [], ['', 'unknown', '192.0.2', '192.0.2.1:80', '[::1]', 'example.org']],
];

for (const [cidrs, inside, outside] of table) {
  test(`toAddressSet() knows what lies in ${cidrs.join(' and ') || 'nothing'}`, () => {
    const contains = toAddressSet(cidrs);
    for (const address of inside) assert.equal(contains(address), true, address);
    for (const address of outside) assert.equal(contains(address), false, address);
  });
}

test('clientIpMethod() holds, and is possible, for clients in its networks', () => {
  const method = clientIpMethod(['192.0.2.0/24']);
  for (const [clientIp, holds] of [
    ['192.0.2.7', true],
    ['203.0.113.7', false],
  ] as const) {
    assert.equal(method.possible(toRequest({ clientIp })), holds);
    const proof = method.holds(toRequest({ clientIp }), Buffer.alloc(0));
    assert.deepEqual(proof, holds ? { by: 'address' } : undefined);
  }
});

test('clientIpMethod() looks an address up once, and mixes up none of many', t => {
  const check = t.mock.method(BlockList.prototype, 'check');
  const method = clientIpMethod(['192.0.2.0/24']);
  const holds = (clientIp: string) => method.holds(toRequest({ clientIp }), Buffer.alloc(0)) !== undefined;
  for (const clientIp of ['192.0.2.7', '198.51.100.7', '192.0.2.7', '198.51.100.7'])
    assert.equal(method.possible(toRequest({ clientIp })) && holds(clientIp), clientIp === '192.0.2.7');
  assert.equal(check.mock.callCount(), 2);
  for (let at = 0; at < 3_000; at++) assert.equal(holds(`192.0.${at >> 8}.${at & 255}`), at >> 8 === 2);
  assert.deepEqual(['192.0.2.7', '198.51.100.7'].map(holds), [true, false]);
});
