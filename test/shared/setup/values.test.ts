import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBrokenHash, toHashName } from '../../../shared/admission/hmac.ts';
import { cidrCovers } from '../../../shared/base/identifier.ts';
import { parseCidr } from '../../../shared/config/cidr.ts';
import { formatListener, parseListener } from '../../../shared/config/listener.ts';
import { byteSize, parseFlag, wholeNumber } from '../../../shared/config/option-values.ts';
import type { Parse } from '../../../shared/config/section-reader.ts';

function read<T>(parse: Parse<T>, text: string): T {
  return parse(text, reason => {
    throw new Error(reason);
  });
}

test('parseListener() reads IPv4, bracketed IPv6 with a zone, and host names', () => {
  assert.deepEqual(read(parseListener, '192.0.2.13:1313'), {
    host: '192.0.2.13',
    port: 1313,
    explicit: true,
  });
  assert.deepEqual(read(parseListener, '[fe80::80%eth0]:1380'), {
    host: 'fe80::80%eth0',
    port: 1380,
    explicit: true,
  });
  assert.deepEqual(read(parseListener, '::1:1313'), { host: '::1', port: 1313, explicit: true });
  assert.deepEqual(read(parseListener, 'localhost:0'), { host: 'localhost', port: 0, explicit: true });
});

test('formatListener() writes what parseListener() reads', () => {
  for (const text of ['127.0.0.1:1', '[::1]:2', '[fe80::1%eth0]:3', 'intake-1.example.org:4']) {
    assert.equal(formatListener(read(parseListener, text)), text);
  }
});

for (const text of [
  '',
  '1313',
  ':1313',
  '::1',
  '2001:db8::1313',
  '[192.0.2.1]:1',
  '[::1]',
  'a:65536',
  'a b:1',
  '300.1.1.1:80',
  '*:1',
]) {
  test(`parseListener() refuses "${text}"`, () => {
    assert.throws(() => read(parseListener, text));
  });
}

for (const text of [
  '192.0.2.0/24',
  '192.0.2.1',
  '0.0.0.0/0',
  '2001:db8::/32',
  '2001:DB8::1',
  '::/0',
  '::1/128',
]) {
  test(`parseCidr() accepts ${text} and keeps it as written`, () => {
    assert.equal(read(parseCidr, text), text);
  });
}

for (const [text, cidr] of [
  ['192.0.2.0/255.255.255.0', '192.0.2.0/24'],
  ['192.0.2.7/255.255.255.255', '192.0.2.7/32'],
  ['128.0.0.0/128.0.0.0', '128.0.0.0/1'],
  ['0.0.0.0/0.0.0.0', '0.0.0.0/0'],
  ['192.0.2.0-192.0.2.255', '192.0.2.0/24'],
  ['10.0.0.0 - 10.255.255.255', '10.0.0.0/8'],
  ['192.0.2.6-192.0.2.7', '192.0.2.6/31'],
  ['192.0.2.7-192.0.2.7', '192.0.2.7/32'],
  ['0.0.0.0-255.255.255.255', '0.0.0.0/0'],
] as const) {
  test(`parseCidr() makes ${cidr} of ${text}`, () => {
    assert.equal(read(parseCidr, text), cidr);
  });
}

for (const [text, reason] of [
  ['192.0.2.0/0.0.0.255', /has 0\.0\.0\.255 in place of a netmask$/],
  ['192.0.2.0/255.0.255.0', /has 255\.0\.255\.0 in place of a netmask$/],
  ['192.0.2.7/255.255.255.0', /did you mean 192\.0\.2\.0\/24\?$/],
  ['2001:db8::/255.255.0.0', /has bits set|needs a number/],
  ['192.0.2.0-192.0.2.254', /no whole network/],
  ['192.0.2.1-192.0.2.2', /no whole network/],
  ['192.0.2.255-192.0.2.0', /no whole network/],
  ['192.0.2.0-192.0.2.255-192.0.2.255', /is not an IP address/],
  ['2001:db8::-2001:db8::ffff', /is not an IP address/],
  ['192.0.2.7/24', /did you mean 192\.0\.2\.0\/24\?$/],
  ['10.1.2.3/9', /did you mean 10\.0\.0\.0\/9\?$/],
  ['2001:db8::1/33', /did you mean 2001:db8::\/33\?$/],
  ['::ffff:192.0.2.0/120', /write 192\.0\.2\.0\/24$/],
  ['192.0.2.0/33', /0 to 32/],
  ['192.0.2.0/', /0 to 32/],
  ['192.0.2.0/-1', /0 to 32/],
  ['2001:db8::/129', /0 to 128/],
  ['192.0.2', /is not an IP address/],
  ['192.0.02.1', /is not an IP address/],
  ['192.0.2.0/24/8', /is not an IP address/],
  ['mail.example.org', /is not an IP address/],
  ['fe80::1%eth0', /zone/],
  ['', /is not an IP address/],
] as const) {
  test(`parseCidr() refuses "${text}"`, () => {
    assert.throws(() => read(parseCidr, text), reason);
  });
}

test('cidrCovers() compares networks of one family', () => {
  assert.ok(cidrCovers('192.0.2.0/24', '192.0.2.128/25'));
  assert.ok(cidrCovers('192.0.2.0/24', '192.0.2.7'));
  assert.ok(cidrCovers('2001:db8::/32', '2001:db8:1::/48'));
  assert.ok(!cidrCovers('192.0.2.128/25', '192.0.2.0/24'));
  assert.ok(!cidrCovers('192.0.2.0/24', '192.0.3.1'));
  assert.ok(!cidrCovers('::/0', '192.0.2.1'));
});

for (const [spelling, name] of [
  ['sha256', 'sha256'],
  ['SHA256', 'sha256'],
  ['sha-256', 'sha256'],
  ['sha2-256', 'sha256'],
  ['SHA2-512', 'sha512'],
  ['sha512_256', 'sha512-256'],
  ['SHA2-512/256', 'sha512-256'],
  ['sha3_256', 'sha3-256'],
  ['blake2b', 'blake2b512'],
  ['blake2s', 'blake2s256'],
] as const) {
  test(`toHashName() reads ${spelling} as ${name}`, () => {
    assert.equal(toHashName(spelling), name);
  });
}

for (const spelling of ['md5', 'sha1', 'sha-1', 'shake_128', 'sha', '', 'constructor']) {
  test(`toHashName() does not accept "${spelling}"`, () => {
    assert.equal(toHashName(spelling), undefined);
  });
}

test('isBrokenHash() knows md5 and sha1', () => {
  assert.ok(isBrokenHash('MD5') && isBrokenHash('SHA1') && !isBrokenHash('sha256'));
});

test('parseFlag() reads yes, no and their kin, and an empty value as no', () => {
  for (const text of ['yes', 'True', 'on', '1']) assert.equal(read(parseFlag, text), true);
  for (const text of ['no', 'FALSE', 'off', '0', '']) assert.equal(read(parseFlag, text), false);
  assert.throws(() => read(parseFlag, 'yess'), /neither yes nor no/);
});

test('byteSize() reads bytes, and units as pydantic does', () => {
  for (const [text, bytes] of Object.entries({
    ...{
      100: 100,
      '100b': 100,
      '4k': 4000,
      '4K': 4000,
      '4 kb': 4000,
      '4KiB': 4096,
      '0.5k': 500,
      '.5kib': 512,
    },
    ...{ '0.001m': 1000, '0.001MB': 1000, '0.005 MiB': 5242, 4.5: 4 },
  }))
    assert.equal(read(byteSize(10_000), text), bytes, text);
  for (const text of ['0', '0.5', '11k', '-1', '4x', '8kbit', '4k5', '4 4', '1e3', 'k', ''])
    assert.throws(() => read(byteSize(10_000), text));
});

test('wholeNumber() keeps to its range', () => {
  assert.equal(read(wholeNumber(1, 10), '10'), 10);
  for (const text of ['0', '11', '1.5', '1e1', '0x1', '', 'ten'])
    assert.throws(() => read(wholeNumber(1, 10), text));
});
