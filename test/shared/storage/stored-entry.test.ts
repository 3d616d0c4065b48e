import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { openReadEntries } from '../../../shared/storage/stored-entry.ts';
import { makeCertificate } from '../pki/openssl-csr.ts';

const chain = makeCertificate();
const stored = { chain, leaf: readCertificate(chain) };

test('openReadEntries() gives back what was read at a place under this mark, and nothing under another', () => {
  const entries = openReadEntries();
  entries.remember('a', 'first', stored);
  assert.equal(
    entries.recall('a', () => 'first'),
    stored,
  );
  assert.equal(
    entries.recall('a', () => 'second'),
    undefined,
  );
  assert.equal(
    entries.recall('b', () => 'first'),
    undefined,
  );
  entries.remember('a', 'second', { ...stored, renewFrom: 1 });
  assert.equal(
    entries.recall('a', () => 'first'),
    undefined,
  );
  assert.equal(entries.recall('a', () => 'second')?.renewFrom, 1);
});

test('openReadEntries() remembers as many as it may, those that were asked for last', () => {
  const entries = openReadEntries(2);
  for (const place of ['a', 'b']) entries.remember(place, 'mark', stored);
  entries.recall('a', () => 'mark');
  entries.remember('c', 'mark', stored);
  const remembered = ['a', 'b', 'c'].filter(place => entries.recall(place, () => 'mark'));
  assert.deepEqual(remembered, ['a', 'c']);
});
