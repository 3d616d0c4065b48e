import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDomainGlob } from '../../../shared/admission/admit.ts';
import {
  endPrefix,
  fromSortedName,
  globPrefix,
  globText,
  idOfLine,
  kindPrefix,
  linesOf,
  readName,
  toSortedName,
} from '../../../shared/inventory/lines.ts';

const names = [
  ...['example.org', 'a.example.org', 'b.a.example.org', 'z.example.org', '*.example.org'],
  ...[
    'example-shop.org',
    'notexample.org',
    'org',
    '192.0.2.1',
    '192.0.2.17',
    '2001:db8::1',
    'xn--bcher-kva.example',
  ],
];

test('a domain stands right before all below it, whatever else begins like it', () => {
  const sorted = names.map(toSortedName).sort().map(fromSortedName);
  assert.deepEqual(sorted, [
    ...['192.0.2.1', '192.0.2.17', '2001:db8::1', 'xn--bcher-kva.example', 'org'],
    ...['example.org', '*.example.org', 'a.example.org', 'b.a.example.org', 'z.example.org'],
    ...['example-shop.org', 'notexample.org'],
  ]);
});

for (const glob of [
  ...[
    '*',
    '*.example.org',
    'example.org',
    '*example.org',
    'a.*',
    '*.org',
    '?.example.org',
    '[ab].example.org',
  ],
  ...[
    '192.0.2.*',
    '*.2.1',
    '192.0.2.1',
    '2001:db8::1',
    '2001:*',
    'bücher.example',
    '*[xn]*',
    '*[!é]xample*',
    '[',
    'EXAMPLE.org',
    'org',
    '',
  ],
])
  test(`the lines that ${JSON.stringify(glob)} matches all begin as its prefix says, and hold its text`, () => {
    const [matches, prefix, text] = [toDomainGlob(glob), globPrefix(glob), globText(glob)];
    const matching = names.filter(matches).map(name => `${toSortedName(name)}\t`);
    assert.deepEqual(
      matching.filter(line => !line.startsWith(prefix) || !line.includes(text)),
      [],
    );
  });

test('a glob that ends in whole labels looks at nothing but these', () => {
  assert.equal(globPrefix('*.Example.org'), 'org example ');
  assert.equal(globPrefix('www.example.org'), 'org example www\t');
  assert.equal(globPrefix('w*ample.org'), 'org ');
  assert.equal(globPrefix('www.*'), '');
  assert.equal(globText('w*-mple.[a-z]'), '-mple');
});

test('no name and no block forges the line of another', () => {
  const block = 'web"\torg example\tother';
  const forged = { id: 'id', names: ['a\tb c.example'], block, serial: '05AB', notAfter: 1_000 };
  const lines = linesOf(forged);
  assert.equal(lines.length, 4);
  assert.deepEqual([...new Set(lines.map(idOfLine))], ['id']);
  const [first = '', second = ''] = lines;
  assert.equal(readName({ of: 'names' }, first), 'example a?b?c');
  assert.equal(readName({ of: 'block', block }, second), 'example a?b?c');
  assert.ok(!second.startsWith(kindPrefix({ of: 'block', block: 'web' })));
});

test('ends sort by time', () => {
  const times = [0, 999_000, 1_000_000, Date.parse('2026-01-01'), Date.parse('9999-12-31')];
  const ends = times.map(endPrefix);
  assert.deepEqual(ends.toSorted(), ends);
});
