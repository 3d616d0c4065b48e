import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmission } from '../../../shared/admission/admit.ts';

/** Whether a block with `domain = glob` has a name. */
function toDomainGlob(glob: string): (name: string) => boolean {
  const admission = openAdmission([
    {
      name: 'any',
      ips: [],
      all: true,
      domains: [glob],
      addresses: [],
      verifications: [],
      challenges: [],
      storage: 'none',
      accounts: [],
    },
  ]);
  return value => admission.blocks[0]?.mayHave({ type: 'dns', value }) ?? false;
}

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
  test(`domain = ${glob} is read as fnmatch does`, () => {
    const matches = toDomainGlob(glob);
    for (const name of matching) assert.equal(matches(name), true, `${glob} takes ${name}`);
    for (const name of other) assert.equal(matches(name), false, `${glob} refuses ${name}`);
  });
}

/** A name that counts how often one of its characters is looked at. */
class CountedName extends String {
  looks = 0;
  override charAt(at: number): string {
    this.looks++;
    return super.charAt(at);
  }
}

function countLooks(glob: string, name: string): number {
  const counted = new CountedName(name);
  assert.equal(toDomainGlob(glob)(counted as unknown as string), false);
  return counted.looks;
}

for (const [glob, tokens] of [
  ['*a*a*a*a*a*a*a*a*b', 18],
  [`${'a*'.repeat(40)}b`, 81],
  [`${'*'.repeat(100)}b`, 2],
  ['*?*?*?*?*b', 10],
  ['*[!b]*[a-c]*b*b', 8],
] as const)
  test(`domain = ${glob} looks at no character of a name more often than it has tokens`, () => {
    const name = 'a'.repeat(252);
    const looks = countLooks(glob, name);
    assert.ok(looks > 0 && looks <= (tokens + 1) * (name.length + 1), `${looks} looks`);
  });

test('a domain glob looks twice as often when the name doubles', () => {
  const [half, whole] = [126, 252].map(length => countLooks('*a*a*a*ab', 'a'.repeat(length)));
  assert.ok((whole ?? 0) < 2.2 * (half ?? 0), `${half} then ${whole}`);
});
