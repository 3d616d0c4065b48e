import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { docsPages } from '../../support/docs.ts';

const path = join(import.meta.dirname, '../../../README.md');
const readme = readFileSync(path, 'utf8');
const pages = docsPages.slice(1);

test('README is a short front door: 8 KB at most', () => {
  assert.ok(statSync(path).size <= 8192, `${statSync(path).size} bytes`);
});

test('README leads to each page', () => {
  assert.ok(pages.length >= 14, pages.join());
  assert.deepEqual(
    pages.filter(page => !readme.includes(`](${page}`)),
    [],
  );
});

test('README has one configuration, one line for a host, and one for an ACME client', () => {
  assert.equal(readme.match(/^```ini$/gm)?.length, 1);
  for (const line of [/\bcurl .*http:\/\/quarry/g, /^ {4}certbot /gm])
    assert.equal(readme.match(line)?.length, 1, `${line}`);
  assert.match(readme, /^```mermaid$/m);
});
