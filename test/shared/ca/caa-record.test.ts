import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toCaaRecord } from '../../../shared/ca/caa-record.ts';

const url = 'https://ca.example/account/1';

test('toCaaRecord() names the CA, the account, and each method once', () => {
  assert.equal(
    toCaaRecord({ url, issuers: ['ca.example', 'other.example'] }, ['dns-01', 'http-01', 'dns-01']),
    `CAA 0 issue "ca.example; accounturi=${url}; validationmethods=dns-01,http-01"`,
  );
  assert.equal(
    toCaaRecord({ url, issuers: ['ca.example'] }, []),
    `CAA 0 issue "ca.example; accounturi=${url}"`,
  );
});

test('toCaaRecord() writes nothing that a CA could use to say more than it should', () => {
  for (const [what, said] of [
    ['no issuer', { url }],
    ['an empty one', { url, issuers: [''] }],
    ['one with a parameter', { url, issuers: ['ca.example; validationmethods=http-01'] }],
    ['one with a line', { url, issuers: ['ca.example\nb.example'] }],
    ['a URL with a parameter', { url: `${url};validationmethods=x`, issuers: ['ca.example'] }],
    ['a URL with a quote', { url: `${url}"`, issuers: ['ca.example'] }],
    ['a URL with a backslash', { url: `${url}\\`, issuers: ['ca.example'] }],
    ['a URL with a space', { url: `${url} x`, issuers: ['ca.example'] }],
  ] as const)
    assert.equal(
      toCaaRecord({ ...said, issuers: [...('issuers' in said ? said.issuers : [])] }, []),
      undefined,
      what,
    );
  const later = { url, issuers: ['ca example', 'ca.example'] };
  assert.match(toCaaRecord(later, []) ?? '', /^CAA 0 issue "ca\.example; /);
});
