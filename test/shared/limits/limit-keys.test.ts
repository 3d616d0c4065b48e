import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Identifier } from '../../../shared/base/identifier.ts';
import {
  accountKey,
  caOf,
  domainKey,
  failuresKey,
  nameKey,
  openStandingLimits,
  proofOf,
  registeredDomains,
  setKey,
} from '../../../shared/limits/limits.ts';
import { turnedClock } from '../../support/turned-clock.ts';

const scope = { account: 'default', ca: 'ca.example' };
const web = { block: 'web', proof: 'http:http-01' };
const dns = (value: string): Identifier => ({ type: 'dns', value });

test('registeredDomains() goes by the Public Suffix List, its private part included', () => {
  const cases: [string, string][] = [
    ['a.b.example.org', 'example.org'],
    ['*.example.co.uk', 'example.co.uk'],
    ['me.github.io', 'me.github.io'],
    ['a.me.github.io', 'me.github.io'],
    ['intranet', 'intranet'],
  ];
  for (const [name, domain] of cases) assert.deepEqual(registeredDomains([dns(name)]), [domain]);
  assert.deepEqual(registeredDomains([{ type: 'ip', value: '192.0.2.1' }]), ['192.0.2.1']);
});

test('setKey() is the same for the same names in another order, and for no others', () => {
  assert.equal(setKey([dns('a.org'), dns('b.org')], scope), setKey([dns('b.org'), dns('a.org')], scope));
  assert.notEqual(setKey([dns('a.org'), dns('b.org')], scope), setKey([dns('a.org')], scope));
  assert.notEqual(setKey([dns('192.0.2.1')], scope), setKey([{ type: 'ip', value: '192.0.2.1' }], scope));
});

test('standingAgainst() asks for what the block and the way of proving meet, the account, the set, each name, and each registered domain once, and for the CSR, in one command', async () => {
  const asked: string[] = [];
  let commands = 0;
  const mget = async (keys: string[]) => {
    commands++;
    asked.push(...keys);
    return keys.map(() => null);
  };
  const identifiers = [dns('a.example.org'), dns('b.example.org')];
  await openStandingLimits({ redis: { mget } as never, prefix: 'p' }, scope, turnedClock(0)).standingAgainst(
    identifiers,
    web,
    '0123456789abcdef0123',
  );
  assert.equal(commands, 1);
  assert.deepEqual(
    asked.map(key => key.replace(/^p:limit:/, '')),
    [
      failuresKey(identifiers, web, scope),
      'block/web@default',
      'account/default',
      setKey(identifiers, scope),
      'domain/example.org@ca.example',
      'name/a.example.org@ca.example',
      'name/b.example.org@ca.example',
      'csr/0123456789abcdef@ca.example',
    ],
  );
});

test("the key of an account is its own, those of names are their CA's, as are those of failures by what proves", () => {
  const other = { account: 'second', ca: 'other.example' };
  assert.deepEqual([accountKey(scope), accountKey(other)], ['account/default', 'account/second']);
  assert.equal(domainKey('example.org', other), 'domain/example.org@other.example');
  assert.equal(nameKey('a.example.org', other), 'name/a.example.org@other.example');
  assert.match(setKey([dns('a.org')], other), /^set\/[0-9a-f]{16}@other\.example$/);
  assert.match(
    failuresKey([dns('a.org')], web, other),
    /^failures\/[0-9a-f]{16}\/http:http-01@other\.example$/,
  );
});

test('caOf() names a CA by where its directory lies, without what every directory is called', () => {
  for (const [url, ca] of [
    ['https://acme-v02.api.letsencrypt.org/directory', 'acme-v02.api.letsencrypt.org'],
    ['https://127.0.0.1:14000/dir', '127.0.0.1:14000'],
    ['https://acme.zerossl.com/v2/DV90', 'acme.zerossl.com/v2/DV90'],
    ['https://ca.example/a/directory', 'ca.example/a'],
    ['https://ca.example/', 'ca.example'],
  ] as const)
    assert.equal(caOf(url), ca);
});

test('proofOf() names the first verification that can prove each name, whichever others there are', () => {
  const http = { name: 'web', challengeType: 'http-01' } as const;
  const dns01 = { name: 'own dns', challengeType: 'dns-01' } as const;
  const ip: Identifier = { type: 'ip', value: '192.0.2.1' };
  for (const [names, verifications, proof] of [
    [[dns('a.org'), dns('b.org')], [http], 'web:http-01'],
    [[dns('a.org')], [http, dns01], 'web:http-01'],
    [[dns('a.org')], [dns01, http], 'own dns:dns-01'],
    [[dns('a.org'), dns('*.a.org')], [http, dns01], 'own dns:dns-01+web:http-01'],
    [[dns('*.a.org'), dns('a.org')], [http, dns01], 'own dns:dns-01+web:http-01'],
    [[ip], [dns01, http], 'web:http-01'],
    [[dns('*.a.org')], [http], ''],
    [[dns('a.org')], [], ''],
  ] as const)
    assert.equal(proofOf(names, verifications), proof);
});
