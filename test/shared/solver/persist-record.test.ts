import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPersistFault, toPersistRecord } from '../../../shared/solver/persist-record.ts';

const name = { type: 'dns', value: 'example.org' } as const;
const wildcard = { type: 'dns', value: '*.example.org' } as const;
const accountUrl = 'https://ca.example/acct/123';
const parties = { accountUrl, issuerDomainNames: ['ca.example', 'other.example'] };
const now = 1_000_000_000_000;
const own = `ca.example; accounturi=${accountUrl}`;

test('toPersistRecord() writes the record for a name, and for a wildcard with its policy', () => {
  assert.deepEqual(toPersistRecord(name, 'ca.example', accountUrl), {
    name: '_validation-persist.example.org',
    value: own,
  });
  assert.deepEqual(toPersistRecord(wildcard, 'ca.example', accountUrl), {
    name: '_validation-persist.example.org',
    value: `${own}; policy=wildcard`,
  });
});

for (const [what, values, identifier, fault] of [
  ['its own record', [own], name, undefined],
  [
    'one of several',
    ['v=spf1 -all', `ca.example; accounturi=https://ca.example/acct/1`, own],
    name,
    undefined,
  ],
  ['another name of the CA', [`other.example;accounturi=${accountUrl}`], name, undefined],
  [
    'blanks and tags of any case',
    [` ca.example ;\tAccountURI = ${accountUrl} ; PersistUntil=1000000000`],
    name,
    undefined,
  ],
  ['an unknown parameter', [`${own}; later=thing`], name, undefined],
  ['a wildcard record for the base name', [`${own}; policy=wildcard`], name, undefined],
  ['a policy of any case', [`${own}; policy=WildCard`], wildcard, undefined],
  ['an unknown policy for a name', [`${own}; policy=strict`], name, undefined],
  ['nothing', [], name, 'there is no such record'],
  ['no record of the CA', ['v=spf1 -all'], name, 'no record names ca.example or other.example'],
  ['another account', [`ca.example; accounturi=${accountUrl}4`], name, 'the record is for another account'],
  ['no account', ['ca.example'], name, 'the record is for another account'],
  ['no wildcard policy', [own], wildcard, 'its policy is not wildcard'],
  ['a time that is over', [`${own}; persistUntil=999999999`], name, 'its persistUntil is over'],
  [
    'a time of another kind',
    [`${own}; persistUntil=2030-01-01`],
    name,
    'its persistUntil is no time in seconds',
  ],
  ['a semicolon at its end', [`${own};`], name, 'the record is malformed'],
  ['a parameter without a value', [`${own}; policy`], name, 'the record is malformed'],
  ['a tag twice', [`${own}; accounturi=x`], name, 'the record has two accounturi'],
] as const)
  test(`findPersistFault() sees what a CA would: ${what}`, () => {
    assert.equal(findPersistFault(values, identifier, parties, now), fault);
  });
