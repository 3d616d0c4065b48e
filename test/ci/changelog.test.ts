import assert from 'node:assert/strict';
import { test } from 'node:test';
import { absoluteLinks, parseChangelog, readChangelog } from '../../.ci/release/changelog.ts';
import lock from '../../package-lock.json' with { type: 'json' };
import { VERSION } from '../../shared/base/version.ts';

test("the package, its lock file and the changelog's newest release have one version", () => {
  const versions = [VERSION, lock.version, lock.packages[''].version, readChangelog()[0]?.version];
  assert.deepEqual(new Set(versions), new Set([VERSION]));
});

test('the releases of the changelog have the newest first, each with a date and with what it says', () => {
  const releases = readChangelog();
  assert.ok(releases.length >= 2);
  const dates = releases.map(({ date }) => date);
  assert.deepEqual(dates, dates.toSorted().reverse());
  for (const { date, notes } of releases) {
    assert.equal(new Date(`${date}T00:00:00Z`).toISOString().slice(0, 10), date);
    assert.match(notes, /^- /m);
  }
});

test('what is not released yet is no release, and a heading of another form is refused in its words', () => {
  const text =
    '# C\n\n## Unreleased\n\n- x\n\n## 1.2.0 - 2026-01-02\n\n### New\n\n- y\n\n## 1.1.0 - 2025-01-02\n- z\n';
  assert.deepEqual(parseChangelog(text), [
    { version: '1.2.0', date: '2026-01-02', notes: '### New\n\n- y' },
    { version: '1.1.0', date: '2025-01-02', notes: '- z' },
  ]);
  assert.throws(() => parseChangelog('## 1.2.0\n'), /"## 1\.2\.0" is no version with a date/);
});

test('the links of notes lead to the pages at the tag', () => {
  const tree = 'https://github.com/o/quarry/blob/v1.2.0';
  assert.equal(
    absoluteLinks('[a](shared/trail/trail.md), [c](https://c.example/), [d](.github/SECURITY.md)', tree),
    `[a](${tree}/shared/trail/trail.md), [c](https://c.example/), [d](${tree}/.github/SECURITY.md)`,
  );
});
