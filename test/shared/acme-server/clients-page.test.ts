import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

// shared/acme-server/clients.md says of each client whether a test runs its block. That is so.

const root = join(import.meta.dirname, '../../..');
const page = readFileSync(join(root, 'shared/acme-server/clients.md'), 'utf8');
const headings = [...page.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => heading);
/** As GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-');

const rows = [...page.matchAll(/^\| (.+) \| \[below\]\(#(.+)\) \| (.+) \|$/gm)].map(
  ([, client = '', anchor = '', tested = '']) => ({ client, anchor, tested }),
);

const drivers = globSync('test/clients/*.ts', { cwd: root }).map(file =>
  readFileSync(join(root, file), 'utf8'),
);
const isRun = (heading: string) => drivers.some(driver => driver.includes(`shownBlocks('${heading}'`));

test('each client of the page has a row and a section', () => {
  assert.deepEqual(rows.map(({ anchor }) => anchor).sort(), headings.map(anchorOf).sort());
});

test('the page says of each block whether a test runs it', () => {
  const said = rows.map(({ anchor, tested }) => [anchor, tested === 'yes']);
  const found = headings.map(heading => [anchorOf(heading), isRun(heading)]);
  assert.deepEqual(said.sort(), found.sort());
});

test('each section of the page shows where the directory is', () => {
  for (const heading of headings) {
    const section = page.slice(page.indexOf(`\n## ${heading}\n`) + 1).split(/^## /m)[1] ?? '';
    const isAboutAnother = section.includes('[above](#acmesh)');
    assert.ok(isAboutAnother || section.includes('https://quarry.example.org/acme/directory'), heading);
  }
});
