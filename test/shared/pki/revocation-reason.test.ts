import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRevocationReason, REASONS_TEXT } from '../../../shared/pki/revocation.ts';

test('parseRevocationReason() takes names in any case and codes, and nothing else', () => {
  for (const text of ['keyCompromise', 'keycompromise', '1']) {
    assert.equal(parseRevocationReason(text), 'keyCompromise');
  }
  assert.equal(parseRevocationReason('0'), 'unspecified');
  // Reserved for CAs, or not in RFC 5280 at all.
  for (const text of ['', '2', 'cACompromise', '3', '6', '01', ' 1', 'toString']) {
    assert.equal(parseRevocationReason(text), undefined, text);
  }
});

test('the reasons are told with their codes', () => {
  assert.equal(REASONS_TEXT, 'unspecified (0), keyCompromise (1), superseded (4), cessationOfOperation (5)');
});
