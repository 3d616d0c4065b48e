import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDebianChangelog } from '../../.ci/deb/changelog.ts';
import { toManual } from '../../.ci/deb/manual.ts';
import { isLoaded, readEntries } from '../../.ci/deb/modules.ts';
import { plainText } from '../../.ci/deb/plain-text.ts';

test("Debian's changelog has each version's lines, folded, without Markdown, below the titles that they stand under", () => {
  const notes = `### On a host

- \`quarry-get\` gets [a certificate](services/docs/hosts.md#top) and \`*.key\`, _and_ **a very** long line that does
  not fit into one of Debian's changelog.
`;
  const releases = [
    { version: '0.2.0', date: '2026-11-27', notes },
    { version: '0.1.0', date: '2026-11-22', notes: '- It works.' },
  ];
  assert.equal(
    toDebianChangelog(releases, 'Ann <ann@example.org>'),
    `quarry (0.2.0) unstable; urgency=medium

  [ On a host ]
  * quarry-get gets a certificate and *.key, and a very long line that does
    not fit into one of Debian's changelog.

 -- Ann <ann@example.org>  Fri, 27 Nov 2026 12:00:00 +0000

quarry (0.1.0) unstable; urgency=medium

  * It works.

 -- Ann <ann@example.org>  Sun, 22 Nov 2026 12:00:00 +0000
`,
  );
});

test('plain text keeps what stands in code as it is', () => {
  assert.equal(
    plainText('`[auth] a_b_c = **` and [`x_y`](z.md), snake_case'),
    '[auth] a_b_c = ** and x_y, snake_case',
  );
});

test('the manual has each form of each command, which roff reads as it is written', () => {
  const command = {
    usage: ['keys list FILE…', 'keys block [--reason TEXT] KEY FILE…'],
    summary: ".ini's and C:\\keys",
    example: 'quarry keys list main.ini',
    async run() {},
  };
  const page = toManual({ keys: command }, '0.2.0', '2026-11-27');
  assert.match(page, /^\.TH QUARRY 1 2026-11-27 "Quarry 0\.2\.0" "Quarry"\n/);
  assert.ok(
    page.includes(`.TP
.B quarry keys list FILE…
.TQ
.B quarry keys block [\\-\\-reason TEXT] KEY FILE…
\\&.ini's and C:\\ekeys
.IP
For example: quarry keys list main.ini
`),
  );
});

test('the manual has all that a command with a help of its own says, as it stands there', () => {
  const words = { usage: ['init [OPTION]…'], summary: 'asks', example: '', async run() {} };
  const describe = () => 'quarry init\n\n  --ca CA   whose\n';
  const page = toManual({ init: { ...words, describe } }, '0.2.0', '2026-11-27');
  assert.ok(page.includes('asks\n.IP\n.nf\nquarry init\n\n  \\-\\-ca CA   whose\n.fi\n'), page);
});

test('what nothing can load stays out of the package', () => {
  const paths = [
    'dist/index.js',
    'dist/index.min.js',
    'lib/x.cjs',
    'package.json',
    'index.d.ts',
    'index.js.map',
  ];
  assert.deepEqual(paths.filter(isLoaded), [
    'dist/index.js',
    'dist/index.min.js',
    'lib/x.cjs',
    'package.json',
  ]);
  assert.deepEqual(
    ['README.md', 'test/a.js', 'a/tests/b.js', '.github/x.json', 'contest/a.js'].filter(isLoaded),
    ['contest/a.js'],
  );
});

test('what a manifest leads Node to is known, however deep it stands', () => {
  const exports = {
    '.': { import: { types: './i.d.ts', default: './i.mjs' }, require: './i.cjs' },
    './*': './*.js',
  };
  assert.deepEqual(readEntries(['lib/main.js', exports, undefined]), ['lib/main.js', './i.mjs', './i.cjs']);
});
