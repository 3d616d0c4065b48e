import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileGlob, matchTokens, toDomainGlob } from '../../../shared/admission/domain-glob.ts';

const table: [glob: string, matching: string[], other: string[]][] = [
  [
    'example.org',
    ['example.org'],
    ['www.example.org', 'example.com', 'example.org.evil.net', 'xexample.org'],
  ],
  ['EXAMPLE.org', ['example.org'], []],
  [
    '*.example.org',
    ['www.example.org', 'a.b.example.org', '*.example.org', '*.a.example.org'],
    ['example.org', 'wwwexample.org'],
  ],
  ['*example.org', ['example.org', 'evilexample.org', 'www.example.org'], ['*.example.org']],
  ['*', ['example.org', 'localhost', '*.example.org'], []],
  ['**', ['example.org'], ['*.example.org']],
  [
    'mail?.example.org',
    ['mail1.example.org', 'mailx.example.org'],
    ['mail.example.org', 'mail12.example.org'],
  ],
  [
    'mail[0-9].example.org',
    ['mail0.example.org', 'mail9.example.org'],
    ['maila.example.org', 'mail.example.org'],
  ],
  ['mail[!0-9].example.org', ['maila.example.org'], ['mail0.example.org', 'mail.example.org']],
  ['[a-cx].org', ['a.org', 'b.org', 'c.org', 'x.org'], ['d.org', '-.org']],
  ['[A-C].org', ['b.org'], ['d.org']],
  ['[a-].org', ['a.org', '-.org'], ['b.org']],
  ['[a-c-e].org', ['b.org', '-.org', 'e.org'], ['d.org']],
  ['[c-a].org', [], ['a.org', 'b.org', 'c.org', '-.org']],
  ['[]a].org', ['a.org', '].org'], ['b.org']],
  ['[!]a].org', ['b.org'], ['a.org', '].org']],
  ['[ab.org', ['[ab.org'], ['a.org', 'b.org']],
  ['[].org', ['[].org'], ['a.org']],
  ['[!].org', ['[!].org'], ['a.org']],
  ['www.[*].org', ['www.*.org'], ['www.a.org']],
  ['[*].example.org', [], ['*.example.org', 'a.example.org']],
  ['\\*.org', [], ['*.org', 'a.org']],
  ['w*w.example.org', ['ww.example.org', 'w.b.w.example.org'], ['w.example.org']],
  ['*.müller.example', ['www.xn--mller-kva.example'], ['www.muller.example']],
  ['BÜCHER.example', ['xn--bcher-kva.example'], []],
  ['', [], ['example.org']],
];

for (const [glob, matching, other] of table) {
  test(`toDomainGlob() reads ${glob || 'an empty glob'} as fnmatch does`, () => {
    const matches = toDomainGlob(glob);
    for (const name of matching) assert.equal(matches(name), true, `${glob} takes ${name}`);
    for (const name of other) assert.equal(matches(name), false, `${glob} refuses ${name}`);
  });
}

test('matchTokens() takes no more steps than tokens times characters, for any pattern', () => {
  const name = 'a'.repeat(252);
  for (const pattern of [
    '*a*a*a*a*a*a*a*a*b',
    `${'a*'.repeat(40)}b`,
    `${'*'.repeat(100)}b`,
    '*?*?*?*?*b',
    '*[!b]*[a-c]*b*b',
  ]) {
    const tokens = compileGlob(pattern);
    const { matches, steps } = matchTokens(tokens, name);
    assert.equal(matches, false);
    assert.ok(steps <= (tokens.length + 1) * (name.length + 1), `${pattern}: ${steps} steps`);
  }
});

test('matchTokens() doubles its steps when the name doubles', () => {
  const tokens = compileGlob('*a*a*a*ab');
  const [half, whole] = [126, 252].map(length => matchTokens(tokens, 'a'.repeat(length)).steps);
  assert.ok((whole ?? 0) < 2.2 * (half ?? 0), `${half} then ${whole}`);
});
