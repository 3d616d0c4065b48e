import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReserved } from '../../../shared/base/reserved-addresses.ts';

test('isReserved() knows every address that leads where no public CA looks', () => {
  const reserved =
    '10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 192.88.99.1 192.175.48.1 224.0.0.1 255.255.255.255 :: ::1 ' +
    '::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378::1 ' +
    '2001:10::1 2001:db8::1 2002:7f00:1:: 3fff::1 5f00::1 fc00::1 fd12::1 fe80::1 fec0::1 feff::1 ff02::1';
  for (const address of reserved.split(' ')) assert.ok(isReserved(address), address);
  for (const address of ['8.8.8.8', '192.0.1.1', '2001:4860:4860::8888', '2606:4700::1111', '2a00:ffff::1'])
    assert.ok(!isReserved(address), address);
});
