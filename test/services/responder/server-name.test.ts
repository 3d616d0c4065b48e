import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromServerName } from '../../../services/responder/server-name.ts';

const reverse6 = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa';

for (const [serverName, expected] of [
  ['www.example.org', { type: 'dns', value: 'www.example.org' }],
  ['WWW.Example.ORG.', { type: 'dns', value: 'www.example.org' }],
  ['1.2.0.192.in-addr.arpa', { type: 'ip', value: '192.0.2.1' }],
  ['1.2.0.192.IN-ADDR.ARPA', { type: 'ip', value: '192.0.2.1' }],
  [reverse6, { type: 'ip', value: '2001:db8::1' }],
  [reverse6.toUpperCase(), { type: 'ip', value: '2001:db8::1' }],
  ['256.2.0.192.in-addr.arpa', { type: 'dns', value: '256.2.0.192.in-addr.arpa' }],
  [reverse6.slice(2), { type: 'dns', value: reverse6.slice(2) }],
  ['', undefined],
  ['a b', undefined],
  ['a\0.example.org', undefined],
  ['x'.repeat(254), undefined],
] as const)
  test(`fromServerName() reads ${JSON.stringify(serverName)} as ${expected?.value ?? 'nothing'}`, () => {
    assert.deepEqual(fromServerName(serverName), expected);
  });
