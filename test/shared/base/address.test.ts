import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressFromBytes,
  addressToBytes,
  bracketed,
  canonicalAddress,
  isEveryone,
  isLoopback,
  plainAddress,
} from '../../../shared/base/identifier.ts';

const spellings: [text: string, canonical: string, hex: string][] = [
  ['192.0.2.7', '192.0.2.7', 'c0000207'],
  ['::', '::', '0'.repeat(32)],
  ['::1', '::1', `${'0'.repeat(31)}1`],
  ['1::', '1::', `0001${'0'.repeat(28)}`],
  ['2001:DB8:0:0:0:5:0:1', '2001:db8::5:0:1', '20010db8000000000000000500000001'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6', '20010db8000100020003000400050006'],
  ['64:ff9b::192.0.2.7', '64:ff9b::c000:207', '0064ff9b0000000000000000c0000207'],
];

for (const [text, canonical, hex] of spellings) {
  test(`${text} is ${canonical} in its canonical form, and goes into bytes and back`, () => {
    assert.equal(canonicalAddress(text), canonical);
    assert.equal(addressToBytes(text).toString('hex'), hex);
    assert.equal(addressFromBytes(addressToBytes(text)), canonical);
  });
}

test('canonicalAddress() and plainAddress() know what is no address', () => {
  for (const text of ['', '192.0.2', '192.0.02.1', '192.0.2.1%eth0', '[::1]', '::1::', 'example.org']) {
    assert.equal(canonicalAddress(text), undefined, text);
    assert.equal(plainAddress(text), undefined, text);
  }
  assert.equal(canonicalAddress('fe80::1%eth0'), undefined);
});

for (const [text, plain] of [
  ['FE80::1%eth0', 'fe80::1'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:c000:207', '192.0.2.7'],
  ['::ffff:7', '::ffff:7'],
  ['::ffff:0:c000:207', '::ffff:0:c000:207'],
] as const) {
  test(`plainAddress() makes ${plain} of ${text}`, () => {
    assert.equal(plainAddress(text), plain);
  });
}

test('addressFromBytes() takes no IPv4 address in 16 bytes, and no other lengths', () => {
  assert.equal(addressFromBytes(addressToBytes('::ffff:192.0.2.7')), undefined);
  for (const length of [0, 3, 5, 15, 17]) assert.equal(addressFromBytes(Buffer.alloc(length)), undefined);
});

test('bracketed() puts IPv6 addresses alone in brackets', () => {
  const hosts = ['192.0.2.7', 'example.org', '::1', 'fe80::1%eth0'];
  assert.deepEqual(hosts.map(bracketed), ['192.0.2.7', 'example.org', '[::1]', '[fe80::1%eth0]']);
});

test('isLoopback() knows this host as a URL names it', () => {
  const own = [
    'http://localhost:80',
    'http://LOCALHOST',
    'http://127.0.0.1',
    'http://127.1',
    'http://[0::1]/',
  ];
  const others = [
    'http://127.0.0.1.example.org',
    'http://localhost.example.org',
    'http://[::2]',
    'http://128.0.0.1',
  ];
  for (const url of own) assert.equal(isLoopback(new URL(url).hostname), true, url);
  for (const url of others) assert.equal(isLoopback(new URL(url).hostname), false, url);
});

test('isEveryone() knows the networks that hold all addresses of a family', () => {
  const cidrs = ['0.0.0.0/0', '::/0', '0.0.0.0', '128.0.0.0/1', '::/1'];
  assert.deepEqual(cidrs.filter(isEveryone), ['0.0.0.0/0', '::/0']);
});
